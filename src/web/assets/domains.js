// A card for each domain: how far its move is, what blocks it, what to do, its account.

import { action, by, call, clock, element, mayAct, number, plural, rate, say, size, span, words } from "./common.js";
import { makePlot, rates } from "./plot.js";

const STATES = ["held", "queued", "deferred", "in_doubt", "delivered", "parked", "bounced", "dropped"];
const SIGNS = { done: "x", now: ">", ahead: " ", wrong: "!", none: "-" };
const MEANING = { done: "done", now: "under way", ahead: "not yet", wrong: "needs somebody", none: "left out" };

const cards = new Map();

function rail(domain, now) {
  return domain.rail.map((step) => {
    const since = step.since_ms === undefined || step.mark === "ahead" ? "" : `${span(now - step.since_ms)}${step.mark === "now" ? "" : " ago"}`;
    const detail = [step.detail, since].filter((part) => part).join(" · ");
    return element("li", { class: step.mark, ...(step.mark === "now" ? { "aria-current": "step" } : {}) },
      element("span", { class: "sign", "aria-hidden": "true" }, `[${SIGNS[step.mark]}]`),
      element("span", { class: "what" }, step.step, element("span", { class: "unseen" }, `: ${MEANING[step.mark]}`)),
      detail ? element("small", {}, detail) : null);
  });
}

// accepted = held + delivered + ...: the sum stands there to be checked.
function counts(domain) {
  const cell = (name, tally, sign) => element("div", { class: ["parked", "in_doubt"].includes(name) && tally.count > 0 ? "some" : name },
    element("dt", {}, words(name)),
    element("dd", { "data-count": name }, number(tally.count), element("small", {}, size(tally.bytes))),
    sign ? element("span", { class: "plus", "aria-hidden": "true" }, sign) : null);
  const always = [domain.phase === "hold" ? "held" : "queued", "delivered", "parked"];
  const shown = STATES.filter((state) => domain.states[state].count > 0 || always.includes(state));
  return [cell("accepted", domain.accepted, "="),
    ...shown.map((state, place) => cell(state, domain.states[state], place < shown.length - 1 ? "+" : ""))];
}

function account(domain) {
  const parts = STATES.filter((state) => domain.states[state].count > 0)
    .map((state) => `${words(state)} ${number(domain.states[state].count)}`);
  const sum = parts.length > 0 ? parts.join(" + ") : "0";
  const resent = domain.resent > 0 ? `; ${number(domain.resent)} sent again after doubt` : "";
  return `accepted ${number(domain.accepted.count)} = ${sum}: ${domain.balanced ? "balanced" : "NOT BALANCED, run `relay fsck`"}${resent}`;
}

function mailboxes(mover) {
  if (mover === undefined) return "";
  const { done, total } = mover.messages;
  const part = total > 0 ? ` (${(Math.floor((done / total) * 1000) / 10).toFixed(1)}%)` : "";
  const state = mover.converged_ms !== undefined ? "converged" : mover.at_work ? "at work" : "not at work";
  return `mailboxes: ${number(done)} of ${plural(total, "message", "messages")} copied${part}, ${number(mover.accounts.converged)} of ${plural(mover.accounts.total, "account", "accounts")} converged · mover ${state}`;
}

function makeCard(name, showParked) {
  const order = (word, body = {}) => async () => {
    draw(await (await call(`/v1/domains/${encodeURIComponent(name)}/${word}`, body)).json(), Date.now());
  };
  const part = {
    since: element("span", { class: "since" }), rail: element("ol", { class: "rail", "aria-label": "Steps" }),
    next: element("span"), blocked: element("p", { class: "blocked", role: "alert" }),
    counts: element("dl", { class: "counts" }), account: element("p"),
    mover: element("p", { class: "note" }), release: element("p", { class: "note" }),
    plot: makePlot(`${name}: messages arriving and delivered a second, over the last hour`,
      [{ name: "arriving", stroke: "solid" }, { name: "delivered", stroke: "dashed" }]),
    pause: action("Pause", null, order("pause", { reason: "paused on the web page" })),
    resume: action("Resume", null, order("resume")),
    hold: action("Back to hold", `Put ${name} back to hold? What is delivered stays delivered.`, order("hold")),
    start: action("Release", `Deliver everything that is held for ${name} now?`, order("release"), { class: "main" }),
    parked: action("Show the parked", null, async () => showParked(name)),
  };
  const actions = element("div", { class: "actions" });
  if (mayAct) actions.append(part.start, part.pause, part.resume, part.hold);
  actions.append(part.parked);
  part.card = element("article", { "data-domain": name, "aria-label": name },
    element("div", { class: "head" }, element("h3", {}, name), part.since),
    part.rail, element("p", { class: "next" }, element("b", {}, "Next: "), part.next), part.blocked,
    part.counts, part.account, part.mover, part.release, part.plot.figure, actions);
  cards.set(name, part);
  by("domains").append(part.card);
  document.querySelector("#search [name=domain]").append(element("option", {}, name));
  return part;
}

let parkedShown = () => {};

export function draw(domain, now) {
  const part = cards.get(domain.name) || makeCard(domain.name, (name) => parkedShown(name));
  say(part.since, `${domain.paused === undefined ? "" : "PAUSED in "}${domain.phase.toUpperCase()} for ${clock(now - domain.phase_since_ms)}`
    + (domain.oldest_ms ? ` · oldest ${span(now - domain.oldest_ms)}` : "")
    + (domain.arrivals_per_min !== undefined ? ` · in ${rate(domain.arrivals_per_min / 60)}` : ""));
  part.rail.replaceChildren(...rail(domain, now));
  part.rail.hidden = domain.rail.length === 0;
  say(part.next, domain.next);
  const live = domain.release;
  say(part.blocked, domain.paused !== undefined ? `PAUSED: ${domain.paused}` : live && live.blocked ? `waiting: ${live.blocked}` : "");
  part.blocked.hidden = part.blocked.textContent === "";
  part.counts.replaceChildren(...counts(domain));
  say(part.account, account(domain));
  part.account.className = domain.balanced ? "balanced" : "unbalanced";
  say(part.mover, mailboxes(domain.mover));
  part.mover.hidden = domain.mover === undefined;
  say(part.release, live
    ? `to ${live.destination}: ${rate(live.rate_per_s)}, ${live.in_flight} in flight on ${live.connections} of ${plural(live.connections_allowed, "connection", "connections")}, ${number(domain.backlog)} to go`
      + (live.slowed || []).map((text) => ` · limited: ${text}`).join("")
    : "");
  part.release.hidden = !live;
  const paused = domain.paused !== undefined;
  part.pause.hidden = paused;
  part.resume.hidden = !paused;
  part.hold.hidden = domain.phase === "hold";
  part.start.hidden = domain.phase !== "hold";
  part.parked.hidden = domain.states.parked.count === 0;
}

export function drawPlots(history) {
  for (const [name, part] of cards) {
    const samples = history[name] || [];
    part.plot.draw([rates(samples, "accepted"), rates(samples, "delivered")]);
  }
}

// What the button beside parked deliveries does.
export function onParked(show) {
  parkedShown = show;
}
