// The page: what /live tells is drawn; what is clicked is a call of /v1.

import { by, json, meta, say, time } from "./common.js";
import { drawChecks } from "./checks.js";
import { drawCutover } from "./cutover.js";
import { draw, drawPlots, onParked } from "./domains.js";
import { drawMailboxes, drawMoverPlot } from "./mailboxes.js";
import { search, showParked } from "./queue.js";

function show(status) {
  for (const domain of status.domains) draw(domain, status.now_ms);
  by("refusing").hidden = status.refusing === undefined;
  say(by("refusing"), status.refusing === undefined ? "" : `No mail is taken: ${status.refusing}`);
  say(by("state"), `live · ${time(status.now_ms)} UTC · version ${status.version} · ${meta("role")}`);
  drawChecks(status.checked, status.now_ms);
  drawCutover(status.cutover, status.now_ms);
  const movers = status.domains.map((domain) => domain.mover).filter((mover) => mover !== undefined);
  drawMailboxes(movers[0], status.now_ms).catch(() => {});
}

async function drawHistory() {
  const history = await json("/history");
  drawPlots(history.domains);
  drawMoverPlot(history.mover);
}

onParked(showParked);

const AGAIN_MS = 2000;

function listen() {
  const source = new EventSource("/live");
  source.addEventListener("status", (event) => show(JSON.parse(event.data)));
  source.addEventListener("status", () => drawHistory().catch(() => {}), { once: true });
  source.addEventListener("error", () => {
    say(by("state"), "NOT LIVE: the connection to relay is lost, trying again");
    // A browser tries again by itself after a lost connection, and never after a refusal. A
    // relay that was started anew knows no session: the call leads to the login then.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => drawHistory().catch(() => {}).finally(listen), AGAIN_MS);
    }
  });
}

listen();
setInterval(() => drawHistory().catch(() => {}), 5000);
// As in many programs: a slash leads to the search.
document.addEventListener("keydown", (event) => {
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    by("search").recipient.focus();
  }
});
search(null);
