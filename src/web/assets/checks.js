// What the checks found: those that are not ok, with their fixes, and what has changed since.

import { by, element, plural, span, time } from "./common.js";

const CHANGES_SHOWN = 5;
const WORDS = { ok: "ok", warn: "WARN", fail: "FAIL" };
const SIGNS = { ok: "[x]", warn: "[?]", fail: "[!]" };

const about = (one) => [one.name, one.domain].filter((part) => part).join(" · ");

function finding(one) {
  return element("li", { class: one.verdict },
    element("span", { class: "sign", "aria-hidden": "true" }, SIGNS[one.verdict]),
    element("b", {}, `${WORDS[one.verdict]} ${about(one)}`), ` ${one.found}`,
    one.fix ? element("small", {}, `fix: ${one.fix}`) : null);
}

function change(one) {
  return element("li", {}, `${time(one.at_ms)} UTC · ${about(one)}: ${WORDS[one.from]} → ${WORDS[one.to]}`);
}

let drawn = null;

export function drawChecks(checked, now) {
  by("checks").hidden = checked === undefined;
  if (checked === undefined) return;
  const wrong = checked.findings.filter((one) => one.verdict !== "ok");
  const failed = wrong.filter((one) => one.verdict === "fail");
  const summary = `looked at ${span(now - checked.at_ms)} ago: `
    + `${plural(failed.length, "failure", "failures")}, ${plural(wrong.length - failed.length, "warning", "warnings")}`;
  by("checks-note").textContent = summary;
  by("checks-note").className = failed.length > 0 ? "blocked" : "note";
  // The lists stay as they are until something differs, so that one can read and select.
  const text = JSON.stringify([wrong.map((one) => [about(one), one.verdict, one.found, one.fix]), checked.changes]);
  if (text === drawn) return;
  drawn = text;
  // The worst first.
  by("findings").replaceChildren(...failed.concat(wrong.filter((one) => one.verdict === "warn")).map(finding));
  by("changes").replaceChildren(...checked.changes.slice(-CHANGES_SHOWN).reverse().map(change));
  by("changed").hidden = checked.changes.length === 0;
}
