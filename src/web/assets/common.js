// What all parts of the page share: elements, numbers, calls, questions. Everything that
// came with mail is put in as text, never as markup.

export const meta = (name) => document.querySelector(`meta[name=${name}]`).content;
export const mayAct = meta("role") === "operator";
export const by = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Only what has changed is touched: a screen reader and a selection stay undisturbed.
export function say(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

// ---- numbers and times -------------------------------------------------------------------

export const number = (count) => count.toLocaleString("en");
export const words = (state) => state.replace("_", " ");
export const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;

export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit === 0 ? bytes : bytes.toPrecision(3)} ${units[unit]}`;
}

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function clock(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (part) => String(part).padStart(2, "0");
  const days = Math.floor(s / 86400);
  return `${days > 0 ? `${days} d ` : ""}${two(Math.floor(s / 3600) % 24)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

export function rate(perSecond) {
  if (perSecond >= 10) return `${perSecond.toFixed(0)}/s`;
  return perSecond >= 1 ? `${perSecond.toFixed(1)}/s` : `${(perSecond * 60).toFixed(1)}/min`;
}

export const time = (ms) => new Date(ms).toISOString().replace("T", " ").slice(0, 19);

// ---- calls -------------------------------------------------------------------------------

export async function call(path, body) {
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

export const json = async (path) => (await call(path)).json();

export const lines = async (path) =>
  (await (await call(path)).text()).split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));

// ---- doing -------------------------------------------------------------------------------

function ask(question) {
  const dialog = by("ask");
  dialog.querySelector("p").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answered) =>
    dialog.addEventListener("close", () => answered(dialog.returnValue === "yes"), { once: true }));
}

// A button that does something; what went wrong is said beside it.
export function action(label, question, act, more = {}) {
  const said = element("span", { class: "said", role: "status" });
  const button = element("button", { type: "button", ...more, onclick: async () => {
    if (question && !(await ask(question))) return;
    button.disabled = true;
    said.textContent = "";
    try { await act(); } catch (error) { said.textContent = error.message; }
    button.disabled = false;
  } }, label);
  return element("span", { class: "action" }, button, said);
}
