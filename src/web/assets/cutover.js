// The guided cutover: its steps with their times.

import { by, element, span, time } from "./common.js";

const SIGNS = { done: "[x]", underway: "[>]", ahead: "[ ]", skipped: "[-]" };

function took(step, now) {
  if (step.began_ms === undefined) return "";
  return span((step.ended_ms === undefined ? now : step.ended_ms) - step.began_ms);
}

export function drawCutover(cutover, now) {
  by("cutover").hidden = cutover === undefined;
  if (cutover === undefined) return;
  const over = cutover.steps.every((step) => step.state === "done" || step.state === "skipped");
  by("cutover-note").textContent = `${cutover.domains.join(", ")} · begun ${time(cutover.began_ms)} UTC · ${over ? "finished" : "`relay cutover` goes on at the step marked [>], also after an interruption"}`;
  by("steps").replaceChildren(...cutover.steps.map((step) => element("li", { class: step.state, ...(step.state === "underway" ? { "aria-current": "step" } : {}) },
    element("span", { class: "sign" }, SIGNS[step.state]),
    element("span", { class: "what" }, step.step === "mx" ? "MX" : step.step.replace("_", " ")),
    element("span", { class: "took" }, took(step, now)),
    element("small", {}, step.note || ""))));
}
