/* Elements, words in two languages, and numbers for people. Names of files are only ever text. */

const memory = {
  get(key) { try { return localStorage.getItem(key); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, value); } catch { /* kept for this page only */ } },
};

let tongue = memory.get("viseme-language") ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

/* The words of a key; {0} and so on stand for values. */
function t(key, ...values) {
  const text = words[key]?.[tongue === "zh" ? 1 : 0] ?? key;
  return text.replace(/\{(\d)\}/g, (_, at) => values[at] ?? "");
}

/* Keep a text, or an attribute, saying this, in whichever language the page is. */
function say(node, what, attribute = "") {
  (node.says ??= {})[attribute] = typeof what === "function" ? what : () => t(what);
  node.toggleAttribute("data-say", true);
  speak(node, attribute);
  return node;
}

function speak(node, attribute) {
  const text = node.says[attribute]();
  if (attribute) node.setAttribute(attribute, text);
  else if (node.textContent !== text) node.textContent = text;
}

function speakAll() {
  document.documentElement.lang = tongue === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-say]")) for (const name in node.says) speak(node, name);
}

/* An element. on* listens, say is live text, say-NAME a live attribute; the rest are attributes. */
function h(name, given, ...kids) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(given ?? {})) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key.startsWith("say")) say(node, value, key.slice(4));
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...kids.filter((kid) => kid != null));
  return node;
}

/* The name of somebody's file: text, whatever direction it is written in. */
const named = (name) => h("bdi", { class: "name", title: name }, document.createTextNode(name));

const number = (value, digits = 0) =>
  new Intl.NumberFormat(tongue === "zh" ? "zh-CN" : "en", { maximumFractionDigits: digits }).format(value);

function bytes(value) {
  for (const unit of ["B", "kB", "MB"]) {
    if (value < 999.5) return `${number(value, value < 10 && unit !== "B" ? 1 : 0)} ${unit}`;
    value /= 1000;
  }
  return `${number(value, 2)} GB`;
}

const rate = (bits) => (bits >= 1e6 ? `${number(bits / 1e6, 1)} Mbit/s` : `${number(bits / 1e3)} kbit/s`);
const milliseconds = (seconds) => `${number(seconds * 1000)} ms`;

/* A length of time as on a clock. */
function clock(seconds) {
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 60) % 60, whole % 60];
  if (whole >= 3600) parts.unshift(Math.floor(whole / 3600));
  return parts.map((part, at) => (at ? String(part).padStart(2, "0") : part)).join(":");
}

/* A length of time in words. */
function span(seconds) {
  if (seconds < 9.95) return t("s", number(seconds, seconds < 3 ? 1 : 0));
  if (seconds < 90) return t("s", number(seconds));
  return seconds < 5400 ? t("min", number(seconds / 60)) : t("h", number(seconds / 3600, 1));
}

const moment = (time) =>
  new Intl.DateTimeFormat(tongue === "zh" ? "zh-CN" : "en", { dateStyle: "medium", timeStyle: "short" }).format(new Date(time));

/* A bar; set(part, text) moves it, without a part it only says that something goes on. */
function bar(label) {
  const fill = h("i");
  const node = h("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "say-aria-label": label }, fill);
  node.set = (part) => {
    node.classList.toggle("going", part == null);
    fill.style.transform = `scaleX(${part == null ? 1 : Math.min(1, part)})`;
    if (part == null) node.removeAttribute("aria-valuenow");
    else node.setAttribute("aria-valuenow", Math.round(100 * Math.min(1, part)));
  };
  node.set(0);
  return node;
}

/* Tell something to who cannot see it. */
function tell(text) { document.getElementById("told").textContent = text; }

/* How fast something goes, from its newest values. */
class Pace {
  #seen = [];
  add(value, now = performance.now()) {
    if (this.#seen.length && value < this.#seen.at(-1)[1]) this.#seen = [];
    this.#seen.push([now, value]);
    while (this.#seen.length > 2 && now - this.#seen[0][0] > 8000) this.#seen.shift();
  }
  /* A second; 0 while unknown. */
  get rate() {
    if (this.#seen.length < 2) return 0;
    const [first, last] = [this.#seen[0], this.#seen.at(-1)];
    const gone = Math.max(performance.now(), last[0]) - first[0];
    return gone < 400 ? 0 : ((last[1] - first[1]) * 1000) / gone;
  }
}
