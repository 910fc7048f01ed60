/* What happens at the edge, as it happens: one stream of events for all jobs, and whether the edge can be reached. */

const FINAL = new Set(["succeeded", "failed", "cancelled"]);
const QUIET_MS = 5500;
const HIDDEN_MS = 60_000;
const JOBS = 6000;

const live = Object.assign(new EventTarget(), {
  jobs: new Map(),
  edge: null,
  seen: 0,
  up: null,
  roundTrip: null,
  upBits: null,
  after: "",
});

const changed = (name, detail) => live.dispatchEvent(new CustomEvent(name, { detail }));

/* Whether a job is over. */
const over = (job) => FINAL.has(job.state);

/* Keep what the edge says of a job; what happened to it since is kept. */
function keep(job) {
  const old = live.jobs.get(job.job_id);
  const newer = old && old.last_sequence > job.last_sequence;
  const kept = Object.assign(old ?? { notices: [], paces: {} }, newer ? {} : job);
  kept.progress ??= {};
  live.jobs.set(job.job_id, kept);
  if (live.jobs.size > JOBS) for (const [id, one] of live.jobs) if (over(one) && live.jobs.size > JOBS) live.jobs.delete(id);
  changed("job", kept);
  return kept;
}

async function fetchJob(id) {
  try {
    return keep(await insist("GET", "/jobs/" + encodeURIComponent(id)));
  } catch (error) {
    if (error.status === 404) forget(id);
    return null;
  }
}

/* The jobs that are not over yet. */
async function fetchUnfinished() {
  let told = { next_page_token: "" };
  do {
    told = await insist("GET", `/jobs?page_size=100&state=queued,preparing,rendering,finishing&page_token=${encodeURIComponent(told.next_page_token)}`);
    told.jobs.forEach(keep);
  } while (told.next_page_token && live.jobs.size < 2000);
}

function forget(id) {
  live.jobs.delete(id);
  changed("gone", id);
}

const pending = new Set();
function happened(kind, event) {
  const told = JSON.parse(event.data);
  const id = told.job_id;
  if (kind === "deleted") return forget(id);
  const job = live.jobs.get(id);
  if (!job) {
    if (!pending.has(id)) {
      pending.add(id);
      fetchJob(id).finally(() => pending.delete(id));
    }
    return;
  }
  if (told.sequence <= job.last_sequence) return;
  job.last_sequence = told.sequence;
  job.told = told;
  if (kind === "notice") job.notices.push(told);
  if (kind === "progress") {
    job.progress[told.stage] = told;
    (job.paces[told.stage] ??= new Pace()).add(told.total_frames ? told.done_frames : told.done_bytes);
  }
  if (kind === "state") {
    job.state = told.state;
    if (over(job)) {
      fetchJob(id);
      tell(t("told-" + job.state, job.video?.display_name ?? ""));
    }
  }
  changed("job", job);
}

let source = null;
let failures = 0;
let timer = 0;

function open() {
  clearTimeout(timer);
  source?.close();
  live.since = performance.now();
  source = new EventSource(live.after ? `/events?after=${live.after}` : "/events");
  const own = source;
  const heard = (event) => {
    if (own !== source) return false;
    live.since = performance.now();
    if (event.lastEventId) live.after = event.lastEventId;
    if (live.up !== true) reached();
    return true;
  };
  source.addEventListener("hello", (event) => heard(event) && changed("hello"));
  for (const kind of ["state", "progress", "notice", "deleted"]) {
    source.addEventListener(kind, (event) => heard(event) && happened(kind, event));
  }
  source.addEventListener("edge", (event) => {
    if (!heard(event)) return;
    live.edge = JSON.parse(event.data);
    changed("edge");
    const active = live.edge.running + live.edge.queued;
    const known = [...live.jobs.values()].filter((job) => !over(job)).length;
    // Nobody asks for jobs where there are none.
    if (active && !known && !live.asking) live.asking = fetchUnfinished().finally(() => (live.asking = null));
  });
  // A stream that was refused stays closed: it may be that the session is over, which any call finds out.
  source.onerror = () => { if (own === source) { if (own.readyState > 1) edgeStatus(); lost(); } };
}

function reached() {
  const was = live.up;
  live.up = true;
  failures = 0;
  changed("link");
  if (was === false) {
    tell(t("back"));
    for (const job of live.jobs.values()) if (!over(job)) fetchJob(job.job_id);
  }
}

function lost() {
  source?.close();
  source = null;
  if (live.up !== false) {
    live.up = false;
    changed("link");
  }
  failures++;
  // Numbers of an edge that was set up anew mean nothing to it.
  if (failures > 6) live.after = "";
  clearTimeout(timer);
  timer = setTimeout(open, Math.min(5000, 300 * 2 ** Math.min(failures, 5)) * (0.7 + 0.6 * Math.random()));
}

/* How long the way to the edge and back is. */
async function ping() {
  if (document.hidden || live.up === false) return;
  const begin = performance.now();
  try {
    await fetch("/ping", { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(4000) });
    live.roundTrip = (performance.now() - begin) / 1000;
    changed("link");
  } catch {
    if (performance.now() - live.since > 3000) lost();
  }
}

/* How fast this page reaches the edge; asked once, before the first upload. */
let probed;
const probe = () => (probed ??= live.upBits ? null : sendProbe());
async function sendProbe() {
  const body = new Uint8Array(256 << 10);
  for (let at = 0; at < body.length; at += 65536) crypto.getRandomValues(body.subarray(at, at + 65536));
  try {
    await ping();
    const begin = performance.now();
    const answer = await fetch("/probe", { method: "POST", body, headers: { "Content-Type": "application/octet-stream" } });
    const gone = (performance.now() - begin) / 1000 - (live.roundTrip ?? 0);
    if (answer.ok && !live.upBits) live.upBits = (body.length * 8) / Math.max(gone, 0.005);
    changed("link");
  } catch { /* no connection: the banner says so */ }
}

let pings = 0;
/* Measure the way to the edge as long as somebody looks. */
function measure() {
  if (!pings) {
    ping();
    pings = setInterval(ping, 5000);
  }
}

function watchLink() {
  open();
  setInterval(() => source && performance.now() - live.since > QUIET_MS && lost(), 500);
  addEventListener("offline", lost);
  addEventListener("online", open);
  // Browsers have six connections to a host: a tab that nobody looks at, and in which nothing goes on, gives its own back.
  let rest = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(rest);
    if (document.hidden) rest = setTimeout(() => [...live.jobs.values()].every(over) && live.up && (source = source?.close()), HIDDEN_MS);
    else if (!source) open();
  });
}
