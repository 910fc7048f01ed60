/* The first screen: a video or photo, a recording, what will come of them, and the button. */

const made = { video: null, speech: null, background: null };
const options = { fit: "bounce", keep_length: false };
const chosen = new EventTarget();
const noticed = () => chosen.dispatchEvent(new Event("change"));

/* Take a file for a slot: look at it, and begin to send it. */
async function choose(kind, file, face = null) {
  unchoose(kind);
  const choice = (made[kind] = face ? faceChoice(face) : { file, name: file.name, size: file.size, duration: 0, task: null });
  noticed();
  if (face) return;
  if (!isFit(kind, file)) {
    choice.wrong = kindOf(file) ? "wrong-" + kind : "no-media";
    return noticed();
  }
  Promise.resolve(probe()).then(noticed);
  edgeStatus().then((told) => { choice.pace = told.pace?.frames_s; noticed(); }, () => {});
  const sending = part("upload").then((uploads) => {
    if (made[kind] !== choice) return;
    choice.task = uploads.add(file, kind === "background" ? "" : kind);
    choice.task.addEventListener("change", noticed);
    noticed();
  });
  Object.assign(choice, await look(file));
  noticed();
  await sending;
}

const faceChoice = (asset) => ({
  asset, name: asset.display_name, size: asset.size_bytes, shown: true,
  kind: asset.kind === "photo" ? "photo" : "video",
  duration: asset.media?.duration_s ?? 0, width: asset.media?.width, height: asset.media?.height,
  node: h("img", { src: `/assets/${asset.asset_id}/picture.jpg`, alt: "" }),
});

const isFit = (kind, file) => {
  const is = kindOf(file);
  return kind === "video" ? is === "video" || is === "photo" : is === "audio" || is === "video";
};

function unchoose(kind) {
  const choice = made[kind];
  if (!choice) return;
  made[kind] = null;
  if (choice.url) URL.revokeObjectURL(choice.url);
  choice.task?.removeEventListener("change", noticed);
  choice.task?.drop();
  noticed();
}

/* One place for a file. */
function slot(kind) {
  const input = h("input", { type: "file", class: "unseen", id: `file-${kind}`, accept: kind === "video" ? "video/*,image/jpeg,image/png,.mkv,.flv" : "audio/*,video/*,.flac,.opus",
    onchange: () => input.files[0] && choose(kind, input.files[0]).then(() => (input.value = "")) });
  const body = h("div", { class: "slot-body" });
  const extra = kind === "video"
    ? h("a", { class: "button plain", href: "#faces", say: "used-before" })
    : kind === "speech" ? recorder() : null;
  const empty = h("div", { class: "empty" },
    h("label", { class: "button", for: input.id, say: "choose-" + kind }), extra, h("p", { class: "quiet", say: "drop-" + kind }));
  const node = h("section", { class: "slot card", "say-aria-label": "slot-" + kind }, h("h2", { say: "slot-" + kind }), input, body);
  drops(node, (files) => choose(kind, files[0]));
  let shown;
  const draw = () => {
    const choice = made[kind];
    node.classList.toggle("filled", !!choice);
    input.hidden = !!choice;
    if (!choice) body.replaceChildren(empty);
    else if (shown !== choice) body.replaceChildren(filled(kind, choice));
    shown = choice;
    body.firstChild.draw?.();
  };
  chosen.addEventListener("change", draw);
  draw();
  return node;
}

/* What stands in a slot that has a file. */
function filled(kind, choice) {
  const picture = h("div", { class: "picture" });
  const facts = h("p", { class: "quiet" });
  const sending = bar(() => t("sending", choice.name));
  const state = h("p", { class: "state", "aria-live": "off" });
  const away = h("button", { class: "plain", "say-aria-label": () => t("remove", choice.name), say: "remove-it", onclick: () => unchoose(kind) });
  const node = h("div", { class: "choice" }, picture, h("div", { class: "row" }, named(choice.name), away), facts, sending, state);
  say(facts, () => [choice.duration ? clock(choice.duration) : "", choice.width ? `${choice.width}×${choice.height}` : "", bytes(choice.size)].filter(Boolean).join(" · "));
  say(state, () => (choice.wrong ? t(choice.wrong) : choice.asset ? t("there-already") : uploadWords(choice.task)));
  node.draw = () => {
    if (choice.node && picture.firstChild !== choice.node && choice.shown) picture.replaceChildren(choice.node);
    picture.classList.toggle("unshown", choice.shown === false);
    if (choice.shown === false && !picture.firstChild) picture.append(h("p", { class: "quiet", say: "cannot-show" }));
    picture.hidden = !picture.firstChild;
    sending.hidden = !choice.task || choice.task.state === "done" || choice.task.state === "failed";
    if (choice.task) sending.set(choice.task.state === "sending" ? choice.task.part : choice.task.part || null);
    state.classList.toggle("bad", !!choice.wrong || choice.task?.state === "failed");
    for (const line of [facts, state]) speak(line, "");
  };
  return node;
}

/* How far an upload is, in words. */
function uploadWords(task) {
  if (!task) return t("up-begin");
  if (task.state === "failed") return task.error;
  if (task.state === "done") return t("there");
  if (task.state === "again") return t("up-again");
  if (task.state === "away") return t("up-away", number(task.part * 100));
  if (task.state !== "sending") return t("up-" + task.state);
  const speed = task.pace.rate;
  return [number(task.part * 100) + " %", speed ? bytes(speed) + "/s" : "", speed ? t("left", span((task.size - task.offset) / speed)) : ""].filter(Boolean).join(" · ");
}

/* Let files be dropped on something. */
function drops(node, take) {
  node.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    node.classList.add("over");
  });
  for (const name of ["dragleave", "drop"]) node.addEventListener(name, () => node.classList.remove("over"));
  node.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files], event.dataTransfer);
  });
}

/* The button that records in the page. */
function recorder() {
  const button = h("button", { class: "plain" });
  let recording = null;
  say(button, () => (recording ? t("record-stop", clock(recording.seconds)) : t("record")));
  button.disabled = !navigator.mediaDevices?.getUserMedia;
  if (button.disabled) say(button, "record-never", "title");
  button.onclick = async () => {
    button.disabled = true;
    try {
      if (recording) {
        const done = recording;
        recording = null;
        choose("speech", await done.stop());
      } else {
        recording = await (await part("record")).start(() => speak(button, ""));
      }
    } catch (error) {
      warn(t(error.name === "NotAllowedError" ? "record-refused" : "record-failed"));
    }
    button.disabled = false;
    button.classList.toggle("on", !!recording);
    speak(button, "");
  };
  return button;
}

/* What can be told beside the two files; its fields load when they are first opened. */
function optionFields() {
  const node = h("details", { class: "options" }, h("summary", { say: "options" }));
  node.addEventListener("toggle", () => part("options").then((loaded) => node.append(...loaded.fields())), { once: true });
  return node;
}

/* Send the job off; the uploads may still be under way. */
async function start(button) {
  button.disabled = true;
  const wanted = Object.entries(made).filter(([, choice]) => choice);
  try {
    const references = await Promise.all(wanted.map(async ([kind, choice]) => [kind, choice.asset?.asset_id ?? (await choice.task.ref())]));
    const job = keep(await insist("POST", "/jobs", { ...Object.fromEntries(references), options }, { "Idempotency-Key": fresh() }));
    for (const [, choice] of wanted) choice.task?.use(job.job_id);
    location.hash = "#job/" + job.job_id;
  } catch (error) {
    warn(error.message);
  }
  button.disabled = false;
}

function newView() {
  const plan = h("p", { class: "plan", role: "status" });
  const warning = h("p", { class: "bad", role: "alert", hidden: true });
  warn = (text) => { warning.textContent = text; warning.hidden = !text; };
  const button = h("button", { class: "primary", id: "start", say: "start", onclick: () => { warn(""); start(button); } });
  const ready = (kind) => made[kind] && !made[kind].wrong && (made[kind].asset || (made[kind].task && made[kind].task.state !== "failed"));
  say(plan, () => {
    const { video, speech } = made;
    if (!video || !speech) return t(video ? "then-speech" : speech ? "then-video" : "begin");
    const length = lengthOf(video, speech, options);
    const left = [video, speech].reduce((sum, one) => sum + (one.asset ? 0 : one.size - (one.task?.offset ?? 0)), 0);
    return `${length.words} ${timeOf(length.seconds, left, speech.pace)}`.trim() || t("ready");
  });
  const draw = () => {
    speak(plan, "");
    button.disabled = !(ready("video") && ready("speech")) || !!(made.background && !ready("background"));
  };
  chosen.addEventListener("change", draw);
  const going = h("section", { class: "going" });
  const node = h("div", null, h("h1", { say: "title" }), h("div", { class: "slots" }, slot("video"), slot("speech")),
    plan, optionFields(), h("div", { class: "row" }, button), warning, going);
  draw();
  follow(going);
  return node;
}

let warn = () => {};

/* The jobs that are under way, each in a line. */
function follow(node) {
  const lines = new Map();
  const heading = h("h2", { say: "going" });
  const list = h("ul", { class: "lines" });
  const draw = () => {
    const jobs = [...live.jobs.values()].filter((job) => !over(job)).sort((a, b) => (a.create_time < b.create_time ? 1 : -1)).slice(0, 20);
    for (const job of jobs) {
      if (!lines.has(job.job_id)) lines.set(job.job_id, jobLine(job));
      lines.get(job.job_id).draw();
    }
    list.replaceChildren(...jobs.map((job) => lines.get(job.job_id)));
    node.hidden = !jobs.length;
  };
  node.append(heading, list);
  let due = 0;
  const soon = () => { due ||= requestAnimationFrame(() => { due = 0; draw(); }); };
  for (const name of ["job", "gone"]) live.addEventListener(name, soon);
  draw();
}

/* How far a job is, 0 to 1. */
function partOf(job) {
  if (job.state === "succeeded") return 1;
  const share = (stage) => { const told = job.progress?.[stage]; return told?.total_frames ? told.done_frames / told.total_frames : 0; };
  return 0.2 * share("prepare") + 0.4 * share("infer") + 0.4 * share("composite");
}

function jobLine(job) {
  const progress = bar(() => t("job-of", job.video?.display_name ?? ""));
  const state = h("span", { class: "quiet", say: () => t("state-" + job.state) });
  const node = h("li", null, h("a", { href: "#job/" + job.job_id }, named(job.video?.display_name || job.job_id), " + ", named(job.speech?.display_name ?? "")), state, progress);
  node.draw = () => {
    progress.set(job.state === "queued" ? null : partOf(job));
    speak(state, "");
  };
  return node;
}
