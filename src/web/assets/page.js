// The page: what /live tells is drawn; what is clicked is a call of /v1. Everything that
// came with mail is put in as text, never as markup.
"use strict";

const meta = (name) => document.querySelector(`meta[name=${name}]`).content;
const mayAct = meta("role") === "operator";
const STATES = ["held", "queued", "deferred", "in_doubt", "delivered", "parked", "bounced", "dropped"];
const PAGE = 50;

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const number = (count) => count.toLocaleString("en");
const words = (state) => state.replace("_", " ");

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit === 0 ? bytes : bytes.toPrecision(3)} ${units[unit]}`;
}

function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d`;
}

const time = (ms) => new Date(ms).toISOString().replace("T", " ").slice(0, 19);

// ---- calls -------------------------------------------------------------------------------

async function call(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "X-Relay-CSRF": meta("csrf"), "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const answer = await fetch(path, options);
  if (answer.status === 401) { location.assign("/login"); throw new Error("logged out"); }
  if (!answer.ok) {
    const error = await answer.json().catch(() => ({ detail: `HTTP ${answer.status}` }));
    throw new Error(error.detail);
  }
  return answer;
}

const lines = async (answer) =>
  (await answer.text()).split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));

function ask(question) {
  const dialog = document.getElementById("ask");
  dialog.querySelector("p").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answered) =>
    dialog.addEventListener("close", () => answered(dialog.returnValue === "yes"), { once: true }));
}

// A button that does something; what went wrong is said beside it.
function action(label, question, act) {
  const said = element("span", { class: "said", role: "status" });
  const button = element("button", { type: "button", onclick: async () => {
    if (question && !(await ask(question))) return;
    button.disabled = true;
    said.textContent = "";
    try { await act(); } catch (error) { said.textContent = error.message; }
    button.disabled = false;
  } }, label);
  return element("span", {}, button, " ", said);
}

// ---- domains -----------------------------------------------------------------------------

const cards = new Map();
let history = {};

function rail(domain) {
  const phases = ["hold", "release", "forward"];
  const at = phases.indexOf(domain.phase);
  return phases.map((phase, place) => {
    const mark = place < at ? "[x]" : place === at ? "[>]" : "[ ]";
    return element("li", place === at ? { "aria-current": "step" } : {}, `${mark} ${phase}`);
  });
}

function counts(domain) {
  const cell = (name, tally) => element("div", {},
    element("dt", {}, words(name)),
    element("dd", { "data-count": name }, number(tally.count), element("small", {}, size(tally.bytes))));
  const shown = STATES.filter((state) => domain.states[state].count > 0 || ["held", "delivered", "parked"].includes(state));
  return [cell("accepted", domain.accepted), ...shown.map((state) => cell(state, domain.states[state]))];
}

function account(domain) {
  const parts = STATES.filter((state) => domain.states[state].count > 0)
    .map((state) => `${words(state)} ${number(domain.states[state].count)}`);
  const sum = parts.length > 0 ? parts.join(" + ") : "0";
  return `accepted ${number(domain.accepted.count)} = ${sum}: ${domain.balanced ? "balanced" : "NOT BALANCED"}`;
}

function rates(samples, key) {
  const points = [];
  for (let i = 1; i < samples.length; i += 1) {
    const seconds = (samples[i].at_ms - samples[i - 1].at_ms) / 1000;
    if (seconds > 0) points.push([samples[i].at_ms, (samples[i][key] - samples[i - 1][key]) / seconds]);
  }
  return points;
}

function plot(figure, name) {
  const samples = history[name] || [];
  const series = { in: rates(samples, "accepted"), out: rates(samples, "delivered") };
  const all = [...series.in, ...series.out];
  const most = Math.max(1, ...all.map(([, rate]) => rate));
  const from = samples.length > 0 ? samples[0].at_ms : 0;
  const width = Math.max(1, (samples.length > 0 ? samples[samples.length - 1].at_ms : 1) - from);
  for (const kind of ["in", "out"]) {
    const points = series[kind].map(([at, rate]) =>
      `${(((at - from) / width) * 1000).toFixed(1)},${(100 - (rate / most) * 96).toFixed(1)}`);
    figure.querySelector(`.${kind}`).setAttribute("points", points.join(" "));
  }
  const now = (kind) => (series[kind].length > 0 ? series[kind][series[kind].length - 1][1] : 0).toFixed(1);
  figure.querySelector("figcaption").textContent =
    `last ${span(width)}: arriving ${now("in")}/s (solid), delivered ${now("out")}/s (dashed), top ${most.toFixed(1)}/s`;
}

function makeCard(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 1000 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `arrivals and deliveries of ${name} a second`);
  for (const kind of ["in", "out"]) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("class", kind);
    svg.append(line);
  }
  const order = (word, body = {}) => async () => {
    draw(await (await call(`/v1/domains/${encodeURIComponent(name)}/${word}`, body)).json(), Date.now());
  };
  const part = {
    since: element("span", { class: "note" }), rail: element("ol", { class: "rail" }),
    next: element("p", { class: "next" }), blocked: element("p", { class: "blocked" }),
    counts: element("dl", { class: "counts" }), account: element("p"),
    release: element("p", { class: "note" }), figure: element("figure", {}, svg, element("figcaption")),
    pause: action("Pause", null, order("pause", { reason: "paused on the web page" })),
    resume: action("Resume", null, order("resume")),
    hold: action("Hold", `Put ${name} back to hold? What is delivered stays delivered.`, order("hold")),
    start: action("Release", `Deliver everything that is held for ${name} now?`, order("release")),
  };
  const actions = element("div", { class: "actions" });
  if (mayAct) actions.append(part.start, part.pause, part.resume, part.hold);
  part.card = element("article", { "data-domain": name, "aria-label": name },
    element("div", { class: "head" }, element("h3", {}, name), part.since),
    part.rail, part.next, part.blocked, part.counts, part.account, part.release, part.figure, actions);
  cards.set(name, part);
  document.getElementById("domains").append(part.card);
  const choice = document.querySelector("#search [name=domain]");
  choice.append(element("option", {}, name));
  return part;
}

function draw(domain, now) {
  const part = cards.get(domain.name) || makeCard(domain.name);
  part.since.textContent = `${domain.phase} for ${span(now - domain.phase_since_ms)}`
    + (domain.oldest_ms ? ` · oldest ${span(now - domain.oldest_ms)}` : "")
    + (domain.arrivals_per_min !== undefined ? ` · in ${domain.arrivals_per_min.toFixed(1)}/min` : "");
  part.rail.replaceChildren(...rail(domain));
  part.next.textContent = `next: ${domain.next}`;
  const live = domain.release;
  const blocked = domain.paused !== undefined ? `PAUSED: ${domain.paused}` : live && live.blocked ? `waiting: ${live.blocked}` : "";
  part.blocked.textContent = blocked;
  part.blocked.hidden = blocked === "";
  part.counts.replaceChildren(...counts(domain));
  part.account.textContent = account(domain);
  part.account.className = domain.balanced ? "balanced" : "unbalanced";
  part.release.textContent = live
    ? `to ${live.destination}: ${live.rate_per_s.toFixed(1)}/s, ${live.in_flight} in flight on ${live.connections} of ${live.connections_allowed} connections, ${number(domain.backlog)} to go`
    : "";
  const paused = domain.paused !== undefined;
  part.pause.hidden = paused;
  part.resume.hidden = !paused;
  part.hold.hidden = domain.phase === "hold";
  part.start.hidden = domain.phase !== "hold";
}

function show(status) {
  for (const domain of status.domains) draw(domain, status.now_ms);
  const refusing = document.getElementById("refusing");
  refusing.hidden = status.refusing === undefined;
  refusing.textContent = status.refusing === undefined ? "" : `No mail is taken: ${status.refusing}`;
  document.getElementById("state").textContent = `live · version ${status.version} · ${time(status.now_ms)} UTC · ${meta("role")}`;
}

async function drawHistory() {
  history = await (await call("/history")).json();
  for (const [name, part] of cards) plot(part.figure, name);
}

// ---- queue -------------------------------------------------------------------------------

let last = null;

function recipient(message, delivery) {
  const id = `${message.queue_id}:${delivery.address}`;
  const settle = (call_) => async () => { await call_(); await search(null); };
  const decide = (word) => settle(() => call(`/v1/deliveries/${word}`, { ids: [id] }));
  const open = ["parked", "deferred", "in_doubt"].includes(delivery.state);
  return element("li", {}, `${delivery.address}: ${words(delivery.state)} `,
    mayAct && open ? action("Retry", null, decide("retry")) : null,
    mayAct && delivery.state === "parked"
      ? action("Bounce", `Give up ${delivery.address} for good and report it to the sender?`, decide("bounce")) : null);
}

async function details(row, message) {
  if (row.nextSibling && row.nextSibling.dataset.details === message.queue_id) { row.nextSibling.remove(); return; }
  const events = await lines(await call(`/v1/messages/${message.queue_id}/events`));
  const items = events.map((event) => element("li", {},
    [time(event.at_ms), event.address, `${words(event.from)} → ${words(event.to)}`, event.cause, event.relay, event.reply]
      .filter((text) => text !== undefined).join(" · ")));
  row.after(element("tr", { "data-details": message.queue_id },
    element("td", { colspan: "6" }, events.length > 0 ? element("ol", {}, ...items) : "Nothing has happened to it since it arrived.")));
}

function messageRow(message) {
  const row = element("tr", { "data-id": message.queue_id });
  row.append(
    element("td", { "data-label": "Queue id" }, element("code", {}, message.queue_id)),
    element("td", { "data-label": "Arrived" }, time(message.arrival_time * 1000)),
    element("td", { "data-label": "Size" }, size(message.message_size)),
    element("td", { "data-label": "Sender", class: "address" }, message.sender),
    element("td", { "data-label": "Recipients", class: "address" },
      element("ul", {}, ...message.recipients.map((delivery) => recipient(message, delivery)))),
    element("td", {}, action("History", null, () => details(row, message)), " ",
      element("a", { href: `/v1/messages/${message.queue_id}/raw`, download: `${message.queue_id}.eml` }, "Export")));
  return row;
}

async function search(after) {
  const form = new FormData(document.getElementById("search"));
  const query = new URLSearchParams({ limit: String(PAGE) });
  for (const [key, value] of form) if (value !== "") query.set(key, value);
  if (after !== null) query.set("after", after);
  const found = document.getElementById("found");
  let messages;
  try { messages = await lines(await call(`/v1/messages?${query}`)); } catch (error) { found.textContent = error.message; return; }
  const body = document.querySelector("#messages tbody");
  if (after === null) body.replaceChildren();
  body.append(...messages.map(messageRow));
  last = messages.length > 0 ? messages[messages.length - 1].queue_id : last;
  document.getElementById("more").hidden = messages.length < PAGE;
  const rows = body.querySelectorAll("tr[data-id]").length;
  found.textContent = rows === 0 ? "No message fits." : `${number(rows)} ${rows === 1 ? "message" : "messages"}, in the order of arrival.`;
}

// ---- start -------------------------------------------------------------------------------

document.getElementById("search").addEventListener("submit", (event) => { event.preventDefault(); search(null); });
document.getElementById("more").addEventListener("click", () => search(last));

const source = new EventSource("/live");
source.addEventListener("status", (event) => show(JSON.parse(event.data)));
source.addEventListener("error", () => {
  document.getElementById("state").textContent = "NOT LIVE: the connection to relay is lost, trying again";
});
source.addEventListener("status", () => drawHistory().catch(() => {}), { once: true });
setInterval(() => drawHistory().catch(() => {}), 5000);
search(null);
