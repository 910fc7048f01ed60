/* One job: where its time goes, a bar for each stage, the newest frame, the preview, and what became of it. */

const STAGES = ["upload", "prepare", "send", "infer", "composite"];
const FALLS = ["wait", "prepare", "send", "queue", "infer", "return", "composite"];
const STILL_MS = 1000;
const TOLD_MS = 10;
const NOTICES_MS = 8000;

export default function (page) {
  const { t, say, speak, h, named, bytes, clock, span, moment, bar, number, live, over, call, insist, part, fresh, fetchJob, strip, uploadWords } = page;
  page.words({
    "no-job": ["There is no such job: it may have been deleted.", "没有此任务，可能已被删除。"],
    speaks: [" speaks ", " 配音 "],
    progress: ["Progress", "进度"],
    "stage-upload": ["Upload to the edge", "上传到边缘服务器"],
    "stage-prepare": ["Find and cut the face", "定位并裁切人脸"],
    "stage-send": ["Send the face to the GPU", "将人脸发送到 GPU"],
    "stage-infer": ["Render the mouth", "渲染口型"],
    "stage-composite": ["Blend and encode", "合成与编码"],
    "stage-wait": ["Wait", "等待"],
    "stage-queue": ["Queue at the GPU", "GPU 排队"],
    "stage-return": ["Return of the mouth", "取回口型"],
    "sent-before": ["there already", "GPU 端已有"],
    frames: ["{0} of {1} frames", "{0}/{1} 帧"],
    "frames-s": ["{0} frames/s", "{0} 帧/秒"],
    newest: ["The newest frame", "最新一帧"],
    preview: ["Preview; it plays while the rest is rendered", "预览：边渲染边播放"],
    result: ["The result", "成片"],
    elapsed: ["{0} so far", "已用 {0}"],
    took: ["it took {0}", "用时 {0}"],
    cancel: ["Cancel", "取消"],
    retry: ["Try again", "重试"],
    again: ["Make another", "再做一个"],
    download: ["Download", "下载"],
    delete: ["Delete", "删除"],
    really: ["Delete this job and its result?", "删除此任务及其成片？"],
    notices: ["What happened", "事件"],
    falls: ["Where the time went", "时间花在哪里了"],
    "falls-note": ["Stages overlap; the whole took {0}. Between edge and GPU went {1} up and {2} down.", "各阶段同时进行，总用时 {0}。边缘与 GPU 之间上行 {1}，下行 {2}。"],
    quality: ["How good it is", "质量"],
    "sync-good": ["The lips follow the speech: {0} of 100.", "口型与语音吻合：{0}/100。"],
    "sync-low": ["The lips follow the speech only in part: {0} of 100. Look at the result.", "口型与语音仅部分吻合：{0}/100，请检查成片。"],
    lag: ["They are {0} ms late.", "口型延迟 {0} 毫秒。"],
    lead: ["They are {0} ms early.", "口型提前 {0} 毫秒。"],
    unscored: ["There is no sync score: {0}.", "没有同步评分：{0}。"],
    too_short: ["too little was painted", "渲染内容太短"],
    no_speech: ["no speech was heard", "未听到语音"],
    not_measured: ["it was not measured", "未测量"],
    untouched: ["{0} of {1} frames were left as they are:", "{1} 帧中有 {0} 帧保持原样："],
    no_face: ["no face", "没有人脸"],
    hidden: ["the mouth is covered", "嘴部被遮挡"],
    turned_away: ["the head is turned away", "头部转开"],
    too_small: ["the face is too small", "人脸太小"],
    "more-stretches": ["and {0} more", "以及另外 {0} 处"],
    "choose-again": ["This browser lost the file {0}. Choose it again, and the upload goes on where it was:", "浏览器已丢失文件 {0}。请重新选择，上传将从中断处继续："],
    "choose-file": ["Choose the file", "选择文件"],
  });
  const result = (id, download) => `/jobs/${id}/result${download ? "?download=1" : ""}`;

  function view(id, main) {
    const leaving = new AbortController();
    main.addEventListener("leave", () => leaving.abort(), { once: true });
    const node = h("div", { class: "job" }, h("h1", { say: "loading" }));
    const job = live.jobs.get(id);
    const begin = (found) => !leaving.signal.aborted && (found ? fill(node, found, leaving.signal) : node.replaceChildren(h("h1", { say: "no-job" })));
    if (job?.video) begin(job);
    else fetchJob(id).then(begin, () => begin(null));
    return node;
  }

  function fill(node, job, signal) {
    const id = job.job_id;
    const line = h("p", { class: "quiet", role: "status" });
    const trouble = h("p", { class: "bad", hidden: true });
    const way = strip(id);
    const video = h("video", { controls: true, playsinline: true, poster: job.video.asset_id.startsWith("upload:") ? null : `/assets/${job.video.asset_id}/picture.jpg`, "say-aria-label": () => t(over(job) ? "result" : "preview") });
    const bars = stageBars(job, signal);
    const still = newestFrame(job, signal);
    const report = h("div");
    const notices = h("ul", { class: "lines" });
    const noticed = h("section", { class: "block", hidden: true }, h("h2", { say: "notices" }), notices);
    const buttons = actions(job);
    const side = h("div", null, buttons.node, still, bars.node);
    node.replaceChildren(
      h("h1", null, named(job.video.display_name || id), h("span", { class: "quiet", say: "speaks" }), named(job.speech.display_name)),
      line, trouble, lostFiles(job, signal), way,
      h("div", { class: "watch" }, h("div", null, h("div", { class: "screen" }, video), h("p", { class: "quiet", say: () => t(job.state === "succeeded" ? "result" : "preview") })), side),
      report, noticed);
    say(line, () => lineOf(job));
    let told = 0;
    let ended = false;
    const draw = () => {
      speak(line, "");
      for (const label of node.querySelectorAll(".watch > div > p[data-say]")) speak(label, "");
      trouble.hidden = !job.error;
      trouble.textContent = job.error?.message ?? "";
      bars.draw();
      still.draw();
      buttons.draw();
      for (; told < job.notices.length; told++) notices.append(noticeLine(job.notices[told]));
      noticed.hidden = !job.notices.length;
      if (over(job) && !ended && (job.report || job.state !== "succeeded")) {
        ended = true;
        way.hidden = true;
        bars.node.hidden = !!job.report;
        still.hidden = true;
        if (job.report) {
          report.replaceChildren(quality(job.report));
          side.append(falls(job.report));
        }
      }
    };
    const heard = (event) => event.detail === job && draw();
    const gone = (event) => event.detail === id && node.replaceChildren(h("h1", { say: "no-job" }));
    live.addEventListener("job", heard);
    live.addEventListener("gone", gone);
    const ticking = setInterval(() => !over(job) && speak(line, ""), 1000);
    signal.addEventListener("abort", () => {
      clearInterval(ticking);
      live.removeEventListener("job", heard);
      live.removeEventListener("gone", gone);
    });
    part("player").then((player) => !signal.aborted && player.screen(video, job, signal, () => {
      if (!over(job) && !matchMedia("(prefers-reduced-motion: reduce)").matches) video.play().catch(() => {});
    }));
    readNotices(job, signal);
    draw();
  }

  const lineOf = (job) => {
    if (job.report) return `${t("state-" + job.state)} · ${t("took", span(job.report.total_s))}`;
    const gone = (Date.now() - Date.parse(job.create_time)) / 1000;
    return [t("state-" + job.state), over(job) ? moment(job.update_time) : t("elapsed", clock(Math.max(0, gone)))].join(" · ");
  };

  /* A bar for each stage, with rate and time left. */
  function stageBars(job, signal) {
    let uploads = null;
    const rows = STAGES.map((stage) => {
      const progress = bar("stage-" + stage);
      const words = h("span", { class: "quiet" });
      const row = h("li", { "data-stage": stage }, h("div", { class: "row" }, h("b", { say: "stage-" + stage }), words), progress);
      say(words, () => stageWords(job, stage, uploads));
      row.draw = () => {
        const share = shareOf(job, stage, uploads);
        progress.set(share);
        row.classList.toggle("stage-on", share !== 0 && share !== 1 && !over(job));
        row.hidden = stage === "upload" && !uploads?.of(job.job_id).length;
        speak(words, "");
      };
      return row;
    });
    const draw = () => rows.forEach((row) => row.draw());
    if (page.memory.get("viseme-uploads")) {
      part("upload").then(async (loaded) => {
        await loaded.resume();
        uploads = loaded;
        for (const task of loaded.of(job.job_id)) {
          task.addEventListener("change", draw);
          signal.addEventListener("abort", () => task.removeEventListener("change", draw));
        }
        draw();
      });
    }
    const ticking = setInterval(() => !over(job) && draw(), 1000);
    signal.addEventListener("abort", () => clearInterval(ticking));
    return { node: h("section", { class: "card", "say-aria-label": "progress" }, h("ol", { class: "stages" }, ...rows)), draw };
  }

  /* How far a stage is, 0 to 1; null where it goes on and nobody knows how far. */
  function shareOf(job, stage, uploads) {
    if (job.state === "succeeded") return 1;
    if (stage === "upload") {
      const tasks = uploads?.of(job.job_id) ?? [];
      const size = tasks.reduce((sum, task) => sum + task.size, 0);
      return size ? tasks.reduce((sum, task) => sum + task.offset, 0) / size : 0;
    }
    const told = job.progress[stage];
    if (stage === "send") {
      if (!told && !job.progress.infer?.done_frames) return 0;
      return !told || shareOf(job, "infer") === 1 || over(job) ? 1 : null;
    }
    return told?.total_frames ? told.done_frames / told.total_frames : 0;
  }

  function stageWords(job, stage, uploads) {
    if (stage === "upload") {
      const tasks = uploads?.of(job.job_id) ?? [];
      return tasks.filter((task) => task.state !== "done").map(uploadWords)[0] ?? (tasks.length ? t("there") : "");
    }
    const told = job.progress[stage];
    if (!told) return stage === "send" && shareOf(job, stage) ? t("sent-before") : "";
    const share = shareOf(job, stage);
    const speed = share === 1 ? 0 : job.paces[stage]?.rate ?? 0;
    if (!told.total_frames) return [bytes(told.done_bytes), speed ? bytes(speed) + "/s" : ""].filter(Boolean).join(" · ");
    return [
      t("frames", number(told.done_frames), number(told.total_frames)),
      speed ? t("frames-s", number(speed, 1)) : "",
      speed ? t("left", span(leftOf(job, stage))) : "",
    ].filter(Boolean).join(" · ");
  }

  /* Seconds that a stage still takes: it ends no sooner than what it waits for. */
  function leftOf(job, stage) {
    const own = (one) => {
      const told = job.progress[one];
      const speed = job.paces[one]?.rate;
      return told?.total_frames && speed ? (told.total_frames - told.done_frames) / speed : 0;
    };
    return Math.max(...STAGES.slice(1, STAGES.indexOf(stage) + 1).map(own));
  }

  /* A still of the newest rendered frame. */
  function newestFrame(job, signal) {
    const picture = h("img", { class: "thumb", "say-alt": "newest" });
    const node = h("figure", { class: "newest row", hidden: true }, picture, h("figcaption", { class: "quiet", say: "newest" }));
    let loading = false;
    let at = -1;
    let asked = 0;
    node.draw = () => {
      const done = job.progress.composite?.done_frames ?? job.progress.infer?.done_frames ?? 0;
      if (loading || done <= at || over(job) || signal.aborted || performance.now() - asked < STILL_MS) return;
      loading = true;
      asked = performance.now();
      at = done;
      picture.src = `/jobs/${job.job_id}/still.jpg?frame=${done}`;
    };
    picture.onload = () => { loading = false; node.hidden = over(job); };
    picture.onerror = () => { loading = false; };
    return node;
  }

  function actions(job) {
    const id = job.job_id;
    const busy = (work) => async (event) => {
      event.target.disabled = true;
      await work().catch((error) => page.tell(error.message));
      event.target.disabled = false;
    };
    const cancel = h("button", { say: "cancel", onclick: busy(async () => page.keep(await insist("POST", `/jobs/${id}/cancel`, {}))) });
    const retry = h("button", { say: "retry", onclick: busy(async () => {
      const again = page.keep(await insist("POST", `/jobs/${id}/retry`, {}, { "Idempotency-Key": fresh() }));
      location.hash = "#job/" + again.job_id;
    }) });
    const download = h("a", { class: "button primary", href: result(id, true), download: "", say: "download" });
    const another = h("a", { class: "button", href: "#new", say: "again" });
    const remove = h("button", { class: "plain", say: "delete", onclick: busy(async () => {
      if (!confirm(t("really"))) return;
      await call("DELETE", `/jobs/${id}`);
      page.forget(id);
      location.hash = "#history";
    }) });
    const draw = () => {
      cancel.hidden = over(job);
      retry.hidden = !["failed", "cancelled"].includes(job.state);
      download.hidden = job.state !== "succeeded";
      another.hidden = remove.hidden = !over(job);
    };
    return { node: h("div", { class: "row block actions" }, download, retry, cancel, another, remove), draw };
  }

  const noticeLine = (notice) => h("li", null, h("span", { class: notice.severity === "warning" ? "bad" : "" }, notice.message), h("time", { class: "quiet", datetime: notice.time }, new Date(notice.time).toLocaleTimeString()));

  function falls(report) {
    const seconds = FALLS.map((stage) => [stage, report.stages[stage] ?? 0]).filter(([, took]) => took > 0.005);
    const longest = Math.max(report.total_s, ...seconds.map(([, took]) => took));
    const rows = seconds.flatMap(([stage, took]) => {
      const fill = h("i");
      fill.style.width = `${(100 * took) / longest}%`;
      return [h("dt", { say: "stage-" + stage }), h("dd", { "aria-hidden": "true" }, fill), h("dd", { say: () => span(took) })];
    });
    return h("section", { class: "card" }, h("h2", { say: "falls" }), h("dl", { class: "falls" }, ...rows),
      h("p", { class: "quiet", say: () => t("falls-note", span(report.total_s), bytes(report.wan.up_bytes), bytes(report.wan.down_bytes)) }));
  }

  function quality(report) {
    const { sync, untouched = [], untouched_left_out: more = 0 } = report;
    const score = h("p", { class: sync && sync.score < 50 ? "bad" : "", say: () => {
      if (!sync) return report.unscored ? t("unscored", t(report.unscored)) : "";
      const lag = Math.abs(sync.lag_ms ?? 0) >= TOLD_MS ? " " + t(sync.lag_ms > 0 ? "lag" : "lead", Math.abs(sync.lag_ms)) : "";
      return t(sync.score < 50 ? "sync-low" : "sync-good", sync.score) + lag;
    } });
    const stretches = untouched.map((one) => h("li", null, h("span", { say: () => `${clock(one.start_s)}–${clock(one.end_s)}` }), h("span", { class: "quiet", say: one.reason })));
    return h("section", { class: "block" }, h("h2", { say: "quality" }), score,
      report.untouched_frames ? h("p", { say: () => t("untouched", number(report.untouched_frames), number(report.frames)) }) : null,
      stretches.length ? h("ul", { class: "lines" }, ...stretches) : null,
      more ? h("p", { class: "quiet", say: () => t("more-stretches", more) }) : null);
  }

  /* Files that this browser has lost: chosen again, their uploads go on. */
  function lostFiles(job, signal) {
    const node = h("div");
    if (!page.memory.get("viseme-uploads")) return node;
    part("upload").then(async (uploads) => {
      await uploads.resume();
      for (const task of uploads.of(job.job_id).filter((one) => one.state === "lost")) {
        const input = h("input", { type: "file", class: "unseen", id: "again-" + task.url.split("/").at(-1) });
        const box = h("p", { class: "bad" }, h("span", { say: () => t("choose-again", task.name) }), " ", h("label", { class: "button", for: input.id, say: "choose-file" }), input);
        input.onchange = () => input.files[0] && uploads.add(input.files[0]);
        task.addEventListener("change", () => { box.hidden = task.state !== "lost"; }, { signal });
        node.append(box);
      }
    });
    return node;
  }

  /* What was told of the job before this page followed it. */
  function readNotices(job, signal) {
    if (job.replayed) return;
    job.replayed = true;
    const last = job.last_sequence;
    if (!last) return;
    const known = new Set(job.notices.map((one) => one.sequence));
    const old = new EventSource(`/events?job=${job.job_id}&after=0`);
    const stop = () => old.close();
    const timer = setTimeout(stop, NOTICES_MS);
    const heard = (event) => {
      const told = JSON.parse(event.data);
      if (event.type === "notice" && told.sequence <= last && !known.has(told.sequence)) {
        job.notices.unshift(told);
        job.notices.sort((a, b) => a.sequence - b.sequence);
        live.dispatchEvent(new CustomEvent("notices", { detail: job }));
      }
      if (told.sequence >= last) { clearTimeout(timer); stop(); live.dispatchEvent(new CustomEvent("job", { detail: job })); }
    };
    for (const kind of ["state", "progress", "notice"]) old.addEventListener(kind, heard);
    old.onerror = stop;
    signal.addEventListener("abort", stop);
  }

  return { view };
}
