// The mover: how far all mailboxes are, and each of them.

import { by, element, json, number, plural, rate, say, size, span } from "./common.js";
import { makePlot, rates } from "./plot.js";

// Those in trouble first.
const ORDER = ["failed", "paused", "copying", "waiting", "copied", "converged"];
const SHOWN_MAX = 200;

const plot = makePlot("messages copied a second, over the last hour", [{ name: "copied", stroke: "solid" }]);
let known = null;
let updated = null;

const percent = (part) => (part.total > 0 ? `${(Math.floor((part.done / part.total) * 1000) / 10).toFixed(1)}%` : "");

function summary(moved, now) {
  const parts = [`${number(moved.messages.done)} of ${plural(moved.messages.total, "message", "messages")}`, percent(moved.messages), size(moved.bytes.done)];
  if (moved.at_work) {
    if (moved.rate_per_s > 0) parts.push(rate(moved.rate_per_s));
    if (moved.eta_s !== null && moved.eta_s !== undefined) parts.push(`ETA ${span(moved.eta_s * 1000)}`);
  }
  parts.push(`pass ${number(moved.passes)}`);
  if (moved.converged_ms) parts.push("converged");
  else if (!moved.at_work) parts.push(`not at work for ${span(now - moved.updated_ms)}`);
  return parts.filter((part) => part !== "").join(" · ");
}

function tally(moved) {
  const of = (state) => moved.accounts.filter((account) => account.state === state).length;
  const parts = ORDER.toReversed().map((state) => [state, of(state)]).filter(([state, count]) => count > 0 || state === "converged");
  return `accounts ${number(moved.accounts.length)} = ${parts.map(([state, count]) => `${number(count)} ${state}`).join(" + ")}`;
}

function row(account) {
  const { done, total } = account.messages;
  const trouble = [account.reason, account.refused > 0 ? `${number(account.refused)} refused` : null, account.altered > 0 ? `${number(account.altered)} altered` : null];
  return element("tr", { class: account.state },
    element("td", { "data-label": "Account", class: "address" }, account.target, account.source === account.target ? null : element("small", {}, ` from ${account.source}`)),
    element("td", { "data-label": "State" }, account.state),
    element("td", { "data-label": "Copied" },
      element("progress", { value: done, max: Math.max(1, total), "aria-label": `${account.target}: ${number(done)} of ${number(total)}` }),
      ` ${number(done)} / ${number(total)}`),
    element("td", { "data-label": "Size" }, size(account.bytes.done)),
    element("td", { "data-label": "Reason", class: "address" }, trouble.filter((part) => part).join(" · ")));
}

function drawRows() {
  const wanted = by("account").value.trim().toLowerCase();
  const fit = known.accounts.filter((account) => `${account.target} ${account.source} ${account.state}`.toLowerCase().includes(wanted));
  fit.sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
  document.querySelector("#accounts tbody").replaceChildren(...fit.slice(0, SHOWN_MAX).map(row));
  const hidden = fit.length - Math.min(fit.length, SHOWN_MAX);
  say(by("accounts-found"), fit.length === 0 ? "No account fits." : hidden > 0 ? `${number(hidden)} more: search for one.` : "");
}

// `latest`: what the status says of the mover; the accounts are asked for when it has moved.
export async function drawMailboxes(latest, now) {
  by("mailboxes").hidden = latest === undefined;
  if (latest === undefined) return;
  if (`${latest.updated_ms} ${latest.at_work}` !== updated) {
    const moved = await json("/v1/mover");
    if (moved === null) return;
    known = moved;
    updated = `${latest.updated_ms} ${latest.at_work}`;
    const bar = by("mover-bar");
    bar.max = Math.max(1, known.messages.total);
    bar.value = known.messages.done;
    drawRows();
    say(by("mover-accounts"), tally(known));
  }
  say(by("mover-summary"), summary(known, now));
  const why = known.at_work && known.slow ? `slow: ${known.slow}` : known.not_yet ? `not converged: ${known.not_yet}` : "";
  say(by("mover-why"), why);
  by("mover-why").hidden = why === "";
}

export function drawMoverPlot(samples) {
  plot.draw([rates(samples, "copied")]);
}

by("mover-plot").append(plot.figure);
by("account").addEventListener("input", drawRows);
