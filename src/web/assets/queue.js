// The queue: search, a delivery's history, and what a person decides about it.

import { action, by, call, element, lines, mayAct, number, plural, size, time, words } from "./common.js";

const PAGE = 50;
const form = by("search");
const body = document.querySelector("#messages tbody");
let last = null;

function recipient(message, delivery) {
  const id = `${message.queue_id}:${delivery.address}`;
  const decide = (word) => async () => { await call(`/v1/deliveries/${word}`, { ids: [id] }); await search(null); };
  const open = ["parked", "deferred", "in_doubt"].includes(delivery.state);
  return element("li", {}, `${delivery.address}: `, element("b", { class: delivery.state }, words(delivery.state)), " ",
    mayAct && open ? action("Retry", null, decide("retry")) : null,
    mayAct && ["queued", "deferred", "in_doubt"].includes(delivery.state) ? action("Park", null, decide("park")) : null,
    mayAct && open ? action("Drop", `Give up ${delivery.address} for good, and tell nobody?`, decide("drop")) : null,
    mayAct && delivery.state === "parked"
      ? action("Bounce", `Give up ${delivery.address} for good and report it to the sender?`, decide("bounce")) : null,
    open && delivery.delay_reason ? element("small", {}, delivery.delay_reason) : null);
}

async function details(row, message) {
  if (row.nextSibling && row.nextSibling.dataset.details === message.queue_id) { row.nextSibling.remove(); return; }
  const events = await lines(`/v1/messages/${message.queue_id}/events`);
  const items = events.map((event) => element("li", {},
    [time(event.at_ms), event.address, `${words(event.from)} → ${words(event.to)}`, event.cause, event.relay, event.reply]
      .filter((text) => text !== undefined).join(" · ")));
  const arrived = element("li", {}, `${time(message.arrival_time_ms)} · from ${message.client} by ${message.protocol}${message.tls ? `, ${message.tls}` : ""} · ${message.digest}`);
  row.after(element("tr", { "data-details": message.queue_id },
    element("td", { colspan: "6" }, element("ol", {}, arrived, ...items),
      events.length > 0 ? null : "Nothing has happened to it since it arrived.")));
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
    element("td", {}, action("History", null, () => details(row, message)),
      message.has_body ? element("a", { href: `/v1/messages/${message.queue_id}/raw`, download: `${message.queue_id}.eml` }, "Export") : null));
  return row;
}

export async function search(after) {
  const query = new URLSearchParams({ limit: String(PAGE) });
  for (const [key, value] of new FormData(form)) if (value !== "") query.set(key, value);
  if (after !== null) query.set("after", after);
  const found = by("found");
  let messages;
  try { messages = await lines(`/v1/messages?${query}`); } catch (error) { found.textContent = error.message; return; }
  if (after === null) body.replaceChildren();
  body.append(...messages.map(messageRow));
  last = messages.length > 0 ? messages[messages.length - 1].queue_id : last;
  by("more").hidden = messages.length < PAGE;
  const rows = body.querySelectorAll("tr[data-id]").length;
  found.textContent = rows === 0 ? "No message fits." : `${plural(rows, "message", "messages")}${messages.length < PAGE ? "" : " so far"}, in the order of arrival.`;
  all.hidden = !mayAct || form.state.value !== "parked" || rows === 0;
}

// What stands in the table, and nothing that came meanwhile.
const shownIds = () => [...body.querySelectorAll("tr[data-id]")].map((row) => row.dataset.id);
const all = action("Retry all shown", "Send all parked deliveries that are shown again?", async () => {
  const parked = await lines(`/v1/messages?${new URLSearchParams({ state: "parked", limit: "1000", ...(form.domain.value ? { domain: form.domain.value } : {}) })}`);
  const shown = new Set(shownIds());
  const ids = parked.filter((message) => shown.has(message.queue_id))
    .flatMap((message) => message.recipients.map((delivery) => `${message.queue_id}:${delivery.address}`));
  await call("/v1/deliveries/retry", { ids });
  await search(null);
});
all.hidden = true;
by("found").after(all);

export function showParked(domain) {
  form.domain.value = domain;
  form.state.value = "parked";
  by("queue-title").scrollIntoView();
  return search(null);
}

form.addEventListener("submit", (event) => { event.preventDefault(); search(null); });
form.addEventListener("change", (event) => { if (event.target.tagName === "SELECT") search(null); });
by("more").addEventListener("click", () => search(last));
