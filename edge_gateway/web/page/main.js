/* Put together: views by address, the head, the strip that says where the time goes. */

const VIEWS = ["new", "batch", "faces", "history"];

/* What the parts that load later use. */
const page = {
  t, say, speak, h, named, number, bytes, rate, milliseconds, clock, span, moment, bar, tell, Pace,
  call, insist, part, fresh, pause, backoff, Refused, edgeStatus, memory,
  live, keep, over, fetchJob, forget, measure, strip, partOf, uploadWords, drops, kindOf, choose, unchoose, options, noticed, slot,
  words: (more) => Object.assign(words, more),
};

/* Where a job's time goes at this moment, and how good each way is. */
function strip(jobId) {
  const places = ["connection", "edge", "link", "gpu"];
  const cells = places.map((place) => {
    const value = h("span", { class: "quiet" });
    say(value, () => stripWords(place));
    return h("li", { "data-place": place }, h("b", { say: "at-" + place }), value, h("em", { say: "here" }));
  });
  const node = h("ol", { class: "strip", "say-aria-label": "where" }, ...cells);
  const draw = () => {
    const where = live.up === false ? "connection" : live.edge?.jobs?.[jobId]?.where;
    for (const cell of cells) {
      cell.toggleAttribute("data-here", cell.dataset.place === where);
      speak(cell.children[1], "");
    }
  };
  for (const name of ["edge", "link"]) live.addEventListener(name, draw);
  draw();
  measure();
  return node;
}

function stripWords(place) {
  const edge = live.edge;
  const both = (trip, bits) => [trip == null ? "" : milliseconds(trip), bits ? "↑ " + rate(bits) : ""].filter(Boolean).join(" · ") || "–";
  if (place === "connection") return live.up === false ? t("lost-short") : both(live.roundTrip, live.upBits);
  if (!edge) return "–";
  if (place === "edge") return t("load", edge.running, edge.queued);
  if (place === "link") return edge.node_up ? both(edge.round_trip_s, edge.up_bits_s) : t("node-down");
  return t(edge.node_up ? "node-up" : "node-down");
}

function head() {
  const links = VIEWS.map((name) => h("a", { href: "#" + name, say: "nav-" + name }));
  say(document.getElementById("nav"), "nav", "aria-label").append(...links);
  const pill = document.getElementById("pill");
  say(pill, () => t(live.up == null ? "link-try" : live.up ? "link-up" : "link-lost"));
  const banner = say(document.getElementById("lost"), "lost");
  live.addEventListener("link", () => {
    speak(pill, "");
    pill.dataset.up = live.up;
    banner.hidden = live.up !== false;
  });
  const button = document.getElementById("tongue");
  const other = () => {
    button.textContent = tongue === "zh" ? "English" : "中文";
    button.lang = tongue === "zh" ? "en" : "zh";
  };
  button.onclick = () => {
    tongue = tongue === "zh" ? "en" : "zh";
    memory.set("viseme-language", tongue);
    speakAll();
    other();
    entitle();
  };
  other();
  speakAll();
}

const kept = {};
let shown = "";

/* Show what the address names; each view is made once, a job's view anew. */
async function show() {
  const [name, id] = location.hash.slice(1).split("/");
  const view = name === "job" ? "job" : VIEWS.includes(name) ? name : "new";
  const asked = (shown = location.hash);
  for (const link of document.querySelectorAll("nav a")) {
    link.toggleAttribute("aria-current", link.hash === "#" + view);
    if (link.hash === "#" + view) link.setAttribute("aria-current", "page");
  }
  const main = document.getElementById("main");
  main.dispatchEvent(new Event("leave"));
  if (view === "new") main.replaceChildren((kept.new ??= newView()));
  else {
    const waits = h("p", { class: "quiet", say: "loading" });
    if (!kept[view]) main.replaceChildren(waits);
    try {
      const loaded = await part(view);
      if (shown !== asked) return;
      if (view === "job") main.replaceChildren(loaded.view(id, main));
      else {
        main.replaceChildren((kept[view] ??= loaded.view()));
        loaded.shown?.();
      }
    } catch {
      if (shown === asked) say(waits, "load-failed");
    }
  }
  entitle();
}

function entitle() { document.title = `${document.querySelector("h1")?.textContent ?? ""} · viseme`; }

/* Files dropped anywhere: two make a job, more a batch. */
function dropAnywhere(files, transfer) {
  const folder = [...transfer.items].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
  const kinds = files.map(kindOf);
  const spoken = kinds.filter((kind) => kind === "audio").length;
  if (folder || spoken > 1 || kinds.length - spoken > 1) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    part("batch").then((batch) => { location.hash = "#batch"; batch.take(entries, files); });
    return;
  }
  location.hash = "#new";
  files.forEach((file, at) => choose(kinds[at] === "audio" ? "speech" : "video", file));
}

async function later() {
  part("edges");
  const { tenant } = await edgeStatus();
  if (tenant) document.getElementById("nav").append(h("a", { href: "/sign-in" }, tenant));
}

head();
drops(document.body, dropAnywhere);
addEventListener("hashchange", () => show().then(() => {
  scrollTo(0, 0);
  document.getElementById("main").focus({ preventScroll: true });
}));
show();
watchLink();
// The list of other edges is of use only once this one is gone, and the way out at the end: they come after all else.
live.addEventListener("hello", () => setTimeout(later, 5000), { once: true });
// Uploads that a reload or a closed tab broke off go on.
if (memory.get("viseme-uploads") === "1") part("upload").then((uploads) => uploads.resume());
