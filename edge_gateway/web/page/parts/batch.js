/* Batch: one recording on many videos, many recordings on one face, or pairs by name. One that fails does not stop the rest. */

const AT_ONCE = 3;
const ROWS_AT_ONCE = 60;
const LOOKED_AT_ONCE = 40;
const FILES = 5000;

export default function (page) {
  const { t, say, speak, h, named, bar, number, live, over, keep, fresh, part, insist, call, pause, Refused, kindOf, drops, partOf, uploadWords } = page;
  page.words({
    batch: ["Many at once", "批量处理"],
    "batch-why": ["Drop a folder, or videos and recordings: pairs of the same name (anna.mp4, anna.wav), one recording for many videos, or many recordings for one face.", "拖入文件夹，或视频与录音：同名配对（anna.mp4、anna.wav）、一段录音配多个视频，或多段录音配一张人脸。"],
    "choose-files": ["Choose files", "选择文件"],
    "choose-folder": ["Choose a folder", "选择文件夹"],
    "batch-face": ["Use a face used before", "使用用过的人脸"],
    "face-is": ["Face: ", "人脸："],
    mode: ["What goes with what", "如何搭配"],
    "mode-pairs": ["Pairs by name", "按名称配对"],
    "mode-speech": ["One recording, many videos", "一段录音，多个视频"],
    "mode-face": ["One face, many recordings", "一张人脸，多段录音"],
    counted: ["{0} videos and photos, {1} recordings; {2} jobs.", "{0} 个视频和照片，{1} 段录音；{2} 个任务。"],
    unpaired: ["Without a partner: {0}", "未配对：{0}"],
    ignored: ["No media, left out: {0}", "非媒体文件，已忽略：{0}"],
    "too-many": ["Only the first {0} files are taken.", "仅取前 {0} 个文件。"],
    "and-more": ["{0} and {1} more", "{0} 等 {1} 个"],
    "start-batch": ["Start {0} jobs", "开始 {0} 个任务"],
    done: ["{0} of {1} done", "已完成 {0}/{1}"],
    failing: [", {0} failed", "，{0} 个失败"],
    "retry-failed": ["Try the failed again", "重试失败的任务"],
    "zip-all": ["All results as ZIP", "全部打包下载"],
    "new-batch": ["New batch", "新的批次"],
    "item-waiting": ["waiting", "等待中"],
    "item-lost": ["This browser lost the files. Choose them again to go on.", "浏览器已丢失文件，请重新选择以继续。"],
    "batch-all": ["The whole batch", "整个批次"],
    gone: ["it was deleted", "已被删除"],
  });

  const given = { videos: [], speeches: [], other: [], face: null, mode: "" };
  let batch = null;
  let drawGiven = () => {};
  let drawBatch = () => {};

  const stem = (name) => name.replace(/^.*\//, "").replace(/\.[^.]*$/, "").normalize("NFC").toLowerCase();
  const listed = (files) => (files.length > 3 ? t("and-more", files.slice(0, 3).map((file) => file.name).join(", "), number(files.length - 3)) : files.map((file) => file.name).join(", "));

  /* Files of entries that were dropped, folders walked through. */
  async function walk(entries) {
    const found = [];
    const waiting = [...entries];
    while (waiting.length && found.length <= FILES) {
      const entry = waiting.shift();
      if (entry.isFile) {
        const file = await new Promise((done) => entry.file(done, () => done(null)));
        if (file) found.push(file);
      } else if (entry.isDirectory) {
        const reader = entry.createReader();
        for (let some; (some = await new Promise((done) => reader.readEntries(done, () => done([])))).length;) waiting.push(...some);
      }
    }
    return found;
  }

  /* Take what was dropped or chosen. */
  async function take(entries, files) {
    const all = entries.length ? await walk(entries) : files;
    given.cut = all.length > FILES;
    const uploads = await part("upload");
    const known = new Set([...given.videos, ...given.speeches].map(uploads.keyOf));
    const taken = [];
    for (const [at, file] of all.slice(0, FILES).entries()) {
      // Browsers look at the disk when they are asked for a file's size.
      if (at % LOOKED_AT_ONCE === 0) await pause(0);
      if (!file.name.startsWith(".") && !known.has(uploads.keyOf(file))) taken.push(file);
    }
    if (batch && refill(taken, uploads)) return;
    for (const file of taken) {
      const kind = kindOf(file);
      (kind === "audio" ? given.speeches : kind ? given.videos : given.other).push(file);
    }
    drawGiven();
  }

  /* The jobs that the files make, and the files that none has. */
  function planned() {
    const { videos, speeches, face } = given;
    const mode = given.mode || (face || (videos.length === 1 && speeches.length > 1) ? "face" : speeches.length === 1 && videos.length > 1 ? "speech" : "pairs");
    if (mode === "face") {
      const video = face ?? videos[0];
      return { mode, pairs: video ? speeches.map((speech) => ({ video, speech })) : [], left: face ? videos : videos.slice(1) };
    }
    if (mode === "speech") return { mode, pairs: speeches[0] ? videos.map((video) => ({ video, speech: speeches[0] })) : [], left: speeches.slice(1) };
    const spoken = new Map();
    for (const speech of speeches) if (!spoken.has(stem(speech.name))) spoken.set(stem(speech.name), speech);
    const pairs = [];
    const left = new Set([...videos, ...speeches]);
    for (const video of videos) {
      const speech = spoken.get(stem(video.name));
      if (!speech || !left.has(speech)) continue;
      pairs.push({ video, speech });
      left.delete(video);
      left.delete(speech);
    }
    return { mode, pairs, left: [...left] };
  }

  function view() {
    const node = h("div", null, h("h1", { say: "batch" }), givenView(), batchView());
    restore().catch(() => {});
    return node;
  }

  function givenView() {
    const files = h("input", { type: "file", multiple: true, class: "unseen", id: "batch-files" });
    const folder = h("input", { type: "file", webkitdirectory: true, class: "unseen", id: "batch-folder" });
    for (const input of [files, folder]) input.onchange = () => take([], [...input.files]).finally(() => (input.value = ""));
    const facts = h("p", { role: "status" });
    const left = h("p", { class: "quiet" });
    const other = h("p", { class: "quiet" });
    const face = h("p");
    const start = h("button", { class: "primary", id: "start-batch" });
    const modes = h("fieldset", { class: "row card" }, h("legend", { class: "unseen", say: "mode" }), ...["pairs", "speech", "face"].map((mode) =>
      h("label", { class: "check" }, h("input", { type: "radio", name: "mode", value: mode, onchange: () => { given.mode = mode; drawGiven(); } }), h("span", { say: "mode-" + mode }))));
    const zone = h("section", { class: "slot card" }, files, folder, h("div", { class: "slot-body" }, h("div", { class: "empty" },
      h("div", { class: "row" }, h("label", { class: "button", for: files.id, say: "choose-files" }), h("label", { class: "button", for: folder.id, say: "choose-folder" }),
        h("button", { class: "plain", say: "batch-face", onclick: () => part("faces").then((faces) => faces.pick((asset) => { given.face = asset; location.hash = "#batch"; drawGiven(); })) })),
      h("p", { class: "quiet", say: "batch-why" }))));
    drops(zone, (dropped, transfer) => take([...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean), dropped));
    const node = h("div", null, zone, face, modes, facts, left, other, h("div", { class: "row" }, start));
    let plan;
    say(facts, () => t("counted", number(given.videos.length), number(given.speeches.length), number(plan?.pairs.length ?? 0)) + (given.cut ? " " + t("too-many", number(FILES)) : ""));
    say(left, () => (plan?.left.length ? t("unpaired", listed(plan.left)) : ""));
    say(other, () => (given.other.length ? t("ignored", listed(given.other)) : ""));
    say(start, () => t("start-batch", number(plan?.pairs.length ?? 0)));
    start.onclick = () => begin(plan.pairs);
    drawGiven = () => {
      plan = planned();
      const any = given.videos.length + given.speeches.length + given.other.length > 0 || !!given.face;
      node.hidden = !!batch;
      for (const one of [modes, facts, left, other, start]) one.hidden = !any;
      for (const input of modes.querySelectorAll("input")) input.checked = input.value === plan.mode;
      face.replaceChildren(...(given.face ? [h("span", { say: "face-is" }), named(given.face.display_name)] : []));
      for (const one of [facts, left, other, start]) speak(one, "");
      start.disabled = !plan.pairs.length;
    };
    drawGiven();
    return node;
  }

  function batchView() {
    const all = bar("batch-all");
    const count = h("p", { role: "status", class: "count" });
    const retry = h("button", { say: "retry-failed" });
    const zip = h("button", { class: "primary", say: "zip-all" });
    const anew = h("button", { class: "plain", say: "new-batch" });
    const list = h("ul", { class: "lines" });
    const trouble = h("p", { class: "bad", role: "alert", hidden: true });
    const node = h("section", { hidden: true }, trouble, count, all, h("div", { class: "row block" }, zip, retry, anew), list);
    say(count, () => {
      const { done = 0, failed = 0, total = 0 } = batch ? counts() : {};
      return t("done", number(done), number(total)) + (failed ? t("failing", number(failed)) : "");
    });
    retry.onclick = () => again();
    zip.onclick = async () => (await part("history")).saveZip(batch.items.filter((item) => stateOf(item) === "succeeded").map((item) => item.jobId), (text) => { trouble.textContent = text; trouble.hidden = false; });
    anew.onclick = () => finish();
    let filling = null;
    const fill = (shown) => {
      // A few rows a frame: a thousand must not freeze the page.
      list.replaceChildren();
      let at = 0;
      const some = () => {
        if (filling !== shown) return;
        list.append(...shown.items.slice(at, (at += ROWS_AT_ONCE)).map(rowOf));
        if (at < shown.items.length) requestAnimationFrame(some);
      };
      filling = shown;
      some();
    };
    let due = 0;
    drawBatch = (item) => {
      node.hidden = !batch;
      if (batch && filling !== batch) fill(batch);
      item?.row?.draw();
      due ||= requestAnimationFrame(() => {
        due = 0;
        if (!batch) return;
        const { done, failed, total } = counts();
        all.set((done + failed) / total);
        speak(count, "");
        const settled = done + failed === total;
        retry.hidden = !failed;
        zip.hidden = !done;
        zip.disabled = anew.disabled = !settled;
      });
    };
    return node;
  }

  function rowOf(item) {
    const words = h("span", { class: "quiet" });
    const progress = bar(() => t("job-of", item.video.name));
    const link = h("a", null, named(item.video.name), " + ", named(item.speech.name));
    const row = h("li", null, link, words, progress);
    say(words, () => wordsOf(item));
    row.draw = () => {
      if (item.jobId) link.href = "#job/" + item.jobId;
      const state = stateOf(item);
      row.dataset.state = state;
      words.classList.toggle("bad", state === "failed");
      const job = live.jobs.get(item.jobId);
      progress.hidden = ["succeeded", "failed", "cancelled", "waiting", "lost"].includes(state);
      if (!progress.hidden) progress.set(job && job.state !== "queued" ? partOf(job) : null);
      speak(words, "");
    };
    item.row = row;
    row.draw();
    return row;
  }

  const stateOf = (item) => item.state || live.jobs.get(item.jobId)?.state || (item.jobId ? "queued" : "waiting");

  function wordsOf(item) {
    const state = stateOf(item);
    if (state === "waiting" || state === "lost") return t("item-" + state);
    if (item.tasks && !live.jobs.get(item.jobId)) return uploadWords(item.tasks.find((task) => task.state !== "done"));
    const error = item.error || live.jobs.get(item.jobId)?.error?.message || "";
    return t("state-" + state) + (error ? ": " + error : "");
  }

  function counts() {
    const states = batch.items.map(stateOf);
    const of = (...some) => states.filter((state) => some.includes(state)).length;
    return { done: of("succeeded"), failed: of("failed", "cancelled"), total: states.length };
  }

  /* Begin a batch: files are sent and jobs submitted a few at once, in order. */
  async function begin(pairs) {
    const uploads = await part("upload");
    const told = (one) => (one.asset_id ? { name: one.display_name, asset: one } : { name: one.name, key: uploads.keyOf(one), file: one });
    const items = pairs.map((pair, at) => ({ at, video: told(pair.video), speech: told(pair.speech), jobId: "", state: "", error: "", keyword: fresh() }));
    batch = { key: "batch", items };
    Object.assign(given, { videos: [], speeches: [], other: [], face: null, mode: "", cut: false });
    drawGiven();
    drawBatch();
    await write();
    keepFiles(uploads, items);
    work();
  }

  /* The files themselves, so that a reload goes on without asking. */
  async function keepFiles(uploads, items) {
    const store = uploads.kept("files");
    const kept = new Set();
    for (const file of items.flatMap((item) => [item.video, item.speech])) {
      if (!file.file || kept.has(file.key)) continue;
      kept.add(file.key);
      try { await store.put({ key: file.key, file: file.file }); } catch { return; }
    }
  }

  let writing = null;
  /* Write down how the batch stands; many changes at once are written once. */
  const write = () => (writing ??= pause(100).then(async () => {
    writing = null;
    if (!batch) return;
    const plain = ({ name, key, asset }) => ({ name, key, asset });
    const items = batch.items.map(({ at, video, speech, jobId, state, error, keyword }) => ({ at, video: plain(video), speech: plain(speech), jobId, state, error, keyword }));
    const store = (await part("upload")).kept("batches");
    await store.put({ key: "batch", items }).catch(() => {});
  }));

  let working = 0;
  let inHand = new Set();
  function work() {
    while (working < AT_ONCE) {
      working++;
      worker().finally(() => working--);
    }
  }

  async function worker() {
    for (;;) {
      const own = batch;
      const item = own?.items.find((one) => !one.jobId && !one.state && !inHand.has(one));
      if (!item) return;
      inHand.add(item);
      try {
        await submit(item);
      } catch (error) {
        Object.assign(item, { state: "failed", error: error.message });
      }
      inHand.delete(item);
      if (own !== batch) return;
      drawBatch(item);
      write();
    }
  }

  async function submit(item) {
    const uploads = await part("upload");
    const files = [item.video, item.speech].filter((file) => !file.asset);
    if (files.some((file) => !file.file)) { item.state = "lost"; return; }
    item.tasks = files.map((file) => uploads.add(file.file));
    const heard = () => drawBatch(item);
    for (const task of item.tasks) task.addEventListener("change", heard);
    try {
      const [video, speech] = await Promise.all([item.video, item.speech].map((file) => file.asset?.asset_id ?? item.tasks[files.indexOf(file)].ref()));
      const job = keep(await submitted({ video, speech, options: {} }, item.keyword));
      item.jobId = job.job_id;
      for (const task of item.tasks) task.use(job.job_id);
      write();
      drawBatch(item);
      await Promise.all(item.tasks.map((task) => task.ended));
    } finally {
      for (const task of item.tasks) task.removeEventListener("change", heard);
    }
  }

  /* Submit; a full queue is waited for. */
  async function submitted(asked, keyword) {
    for (;;) {
      try {
        return await insist("POST", "/jobs", asked, { "Idempotency-Key": keyword });
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 429) throw error;
        await pause(3000);
      }
    }
  }

  /* Try those again that have failed. */
  async function again() {
    for (const item of batch.items) {
      if (!["failed", "cancelled"].includes(stateOf(item))) continue;
      const job = live.jobs.get(item.jobId);
      Object.assign(item, { state: "", error: "", keyword: fresh() });
      // What failed by its file is sent anew; what failed at work is done anew with what is there.
      if (job && job.error?.reason !== "invalid_media") {
        try {
          item.jobId = keep(await insist("POST", `/jobs/${item.jobId}/retry`, {}, { "Idempotency-Key": item.keyword })).job_id;
        } catch (error) {
          Object.assign(item, { state: "failed", error: error.message });
        }
      } else item.jobId = "";
      drawBatch(item);
    }
    write();
    work();
  }

  /* Files that were lost, chosen again; whether any was one of them. */
  function refill(files, uploads) {
    const byKey = new Map(files.map((file) => [uploads.keyOf(file), file]));
    let found = false;
    for (const item of batch.items) {
      for (const file of [item.video, item.speech]) if (!file.file && byKey.has(file.key)) { file.file = byKey.get(file.key); found = true; }
      if (item.state === "lost") item.state = "";
    }
    work();
    return found;
  }

  async function finish() {
    const uploads = await part("upload");
    batch = null;
    inHand = new Set();
    await Promise.all(["batches", "files"].map((name) => uploads.kept(name).clear().catch(() => {})));
    drawBatch();
    drawGiven();
  }

  /* The batch that a reload or a closed tab left, as it stands now. */
  async function restore() {
    const uploads = await part("upload");
    const [left] = await uploads.kept("batches").all();
    if (!left || batch) return;
    const files = new Map((await uploads.kept("files").all().catch(() => [])).map((one) => [one.key, one.file]));
    for (const item of left.items) for (const file of [item.video, item.speech]) file.file = files.get(file.key);
    batch = left;
    drawGiven();
    drawBatch();
    await uploads.resume();
    const missing = new Set(batch.items.filter((item) => item.jobId && !live.jobs.has(item.jobId)).map((item) => item.jobId));
    for (let token = "", first = true; missing.size && (token || first); first = false) {
      const told = await insist("GET", `/jobs?page_size=500&page_token=${encodeURIComponent(token)}`);
      for (const job of told.jobs) if (missing.delete(job.job_id)) keep(job);
      token = told.next_page_token;
    }
    for (const item of batch.items) if (missing.has(item.jobId)) Object.assign(item, { state: "failed", error: t("gone"), jobId: "" });
    for (const item of batch.items) item.row?.draw();
    drawBatch();
    // Another tab that works on it goes on alone.
    if (!navigator.locks) return work();
    navigator.locks.request("viseme-batch", { ifAvailable: true }, async (lock) => {
      if (!lock) return;
      work();
      while (batch && (working || counts().done + counts().failed < counts().total)) await pause(1000);
    });
  }

  live.addEventListener("job", (event) => {
    const item = batch?.items.find((one) => one.jobId === event.detail.job_id);
    if (item) drawBatch(item);
  });
  return { view, take };
}
