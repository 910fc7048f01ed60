/* History: every job of this edge, with search, paging, deletion and results. */

const PAGE = 30;
const TYPED_MS = 250;
const FRAME_MS = 600_000;

export default function (page) {
  const { t, say, speak, h, named, moment, clock, span, insist, live, over, number, partOf, bar, fresh } = page;
  page.words({
    history: ["History", "历史"],
    search: ["Search by file name", "按文件名搜索"],
    nothing: ["No jobs.", "没有任务。"],
    more: ["Show more", "显示更多"],
    all: ["Choose all that are shown", "全选"],
    pick: ["Choose {0}", "选择 {0}"],
    chosen: ["{0} chosen", "已选 {0} 个"],
    "delete-chosen": ["Delete", "删除"],
    "zip-chosen": ["Results as ZIP", "打包下载"],
    "really-chosen": ["Delete {0} jobs and their results?", "删除 {0} 个任务及其成片？"],
    "not-deleted": ["{0} could not be deleted: {1}", "{0} 个未能删除：{1}"],
    play: ["Play", "播放"],
    "play-of": ["Play {0}", "播放 {0}"],
    download: ["Download", "下载"],
    "download-of": ["Download {0}", "下载 {0}"],
    "open-of": ["Open {0}", "打开 {0}"],
    open: ["Open", "打开"],
    score: ["sync {0}", "同步 {0}"],
    warned: ["{0} frames untouched", "{0} 帧未处理"],
  });
  let shown = () => {};

  function view() {
    const rows = new Map();
    const picked = new Set();
    const list = h("ul", { class: "jobs" });
    const none = h("p", { class: "quiet", say: "nothing", hidden: true });
    const trouble = h("p", { class: "bad", role: "alert", hidden: true });
    const more = h("button", { say: "more", hidden: true });
    const search = h("input", { type: "search", name: "search", "say-placeholder": "search", "say-aria-label": "search" });
    const all = h("input", { type: "checkbox", "say-aria-label": "all" });
    const count = h("span", { class: "quiet", role: "status", say: () => (picked.size ? t("chosen", picked.size) : "") });
    const remove = h("button", { say: "delete-chosen" });
    const zip = h("button", { say: "zip-chosen" });
    const state = { token: "", asked: 0 };

    const drawPicked = () => {
      speak(count, "");
      const ids = [...picked];
      remove.disabled = !ids.length || ids.some((id) => !over(rows.get(id).job));
      zip.disabled = !ids.some((id) => rows.get(id).job.state === "succeeded");
      all.checked = ids.length > 0 && ids.length === rows.size;
    };
    const pick = (id, on) => { picked[on ? "add" : "delete"](id); drawPicked(); };
    const drop = (id) => { rows.get(id)?.remove(); rows.delete(id); picked.delete(id); drawPicked(); none.hidden = rows.size > 0; };
    const put = (job, first) => {
      const row = rowOf(job, pick);
      rows.set(job.job_id, row);
      list[first ? "prepend" : "append"](row);
    };

    async function load(afresh) {
      const asked = ++state.asked;
      more.disabled = true;
      try {
        const query = new URLSearchParams({ page_size: PAGE, page_token: afresh ? "" : state.token, query: search.value.trim() });
        const told = await insist("GET", "/jobs?" + query);
        if (asked !== state.asked) return;
        if (afresh) { list.replaceChildren(); rows.clear(); picked.clear(); }
        for (const job of told.jobs) if (!rows.has(job.job_id)) put(job, false);
        state.token = told.next_page_token;
        more.hidden = !state.token;
        none.hidden = rows.size > 0;
        trouble.hidden = true;
        drawPicked();
      } catch (error) {
        warn(error.message);
      }
      more.disabled = false;
    }
    const warn = (text) => { trouble.textContent = text; trouble.hidden = !text; };

    let timer = 0;
    search.oninput = () => { clearTimeout(timer); timer = setTimeout(load, TYPED_MS, true); };
    more.onclick = () => load(false);
    all.onchange = () => {
      for (const [id, row] of rows) {
        row.box.checked = all.checked;
        picked[all.checked ? "add" : "delete"](id);
      }
      drawPicked();
    };
    remove.onclick = async () => {
      if (!confirm(t("really-chosen", picked.size))) return;
      remove.disabled = true;
      try {
        const told = await insist("POST", "/jobs/delete", { job_ids: [...picked] });
        for (const id of told.deleted) { page.forget(id); drop(id); }
        if (told.refused.length) warn(t("not-deleted", told.refused.length, told.refused[0].error.message));
      } catch (error) {
        warn(error.message);
      }
      drawPicked();
    };
    zip.onclick = () => saveZip([...picked].filter((id) => rows.get(id).job.state === "succeeded"), warn);
    live.addEventListener("gone", (event) => rows.has(event.detail) && drop(event.detail));
    live.addEventListener("job", (event) => {
      const job = event.detail;
      if (rows.has(job.job_id)) rows.get(job.job_id).draw(job);
      else if (!search.value && job.video && rows.size && job.create_time > rows.values().next().value.job.create_time) put(job, true);
    });
    shown = () => load(true);
    drawPicked();
    return h("div", null, h("h1", { say: "history" }),
      h("div", { class: "row" }, search, h("label", { class: "check" }, all, h("span", { say: "all" })), remove, zip, count), trouble, list, none, more);
  }

  /* One job in a row. */
  function rowOf(first, pick) {
    const id = first.job_id;
    const name = first.video.display_name || id;
    const picture = h("img", { class: "thumb", alt: "", loading: "lazy" });
    picture.onerror = () => { picture.removeAttribute("src"); };
    const facts = h("div", { class: "quiet" });
    const box = h("input", { type: "checkbox", "say-aria-label": () => t("pick", name), onchange: () => pick(id, box.checked) });
    const progress = bar(() => t("job-of", name));
    const play = h("a", { class: "button plain", href: "#job/" + id });
    const download = h("a", { class: "button plain", href: `/jobs/${id}/result?download=1`, download: "", say: "download", "say-aria-label": () => t("download-of", name) });
    const row = Object.assign(h("li"), { job: first, box });
    row.append(box, picture,
      h("div", null, h("a", { href: "#job/" + id }, named(name), " + ", named(first.speech.display_name || "–")), facts, progress),
      h("div", { class: "row" }, play, download));
    say(facts, () => factsOf(row.job));
    say(play, () => t(row.job.state === "succeeded" ? "play" : "open"));
    say(play, () => t(row.job.state === "succeeded" ? "play-of" : "open-of", name), "aria-label");
    row.draw = (job) => {
      row.job = { ...row.job, ...job };
      speak(facts, "");
      for (const attribute of ["", "aria-label"]) speak(play, attribute);
      facts.classList.toggle("bad", row.job.state === "failed");
      download.hidden = row.job.state !== "succeeded";
      progress.hidden = over(row.job);
      if (!progress.hidden) progress.set(row.job.state === "queued" ? null : partOf(row.job));
      const from = row.job.result_asset_id || row.job.video.asset_id.replace(/^upload:.*/, "");
      const source = from ? `/assets/${from}/picture.jpg` : "";
      if (source && picture.getAttribute("src") !== source) picture.src = source;
    };
    row.draw(first);
    return row;
  }

  function factsOf(job) {
    const { report } = job;
    return [
      t("state-" + job.state),
      moment(job.create_time),
      report ? clock(report.frames / report.frame_rate) : "",
      report ? span(report.total_s) : "",
      report?.sync ? t("score", report.sync.score) : "",
      report?.untouched_frames ? t("warned", number(report.untouched_frames)) : "",
      job.error?.message ?? "",
    ].filter(Boolean).join(" · ");
  }

  /* All results in one file, by a form, as a list may be longer than an address; gives what the edge says against it. */
  function saveZip(ids, warn) {
    const frame = h("iframe", { name: "zip-" + fresh(), hidden: true, title: "ZIP" });
    // Only a refusal is a document; a download leaves the frame as it was.
    frame.onload = () => {
      const text = frame.contentDocument?.body?.textContent;
      if (text) warn(refusalIn(text));
    };
    const form = h("form", { method: "post", action: "/results.zip", target: frame.name, hidden: true }, ...ids.map((id) => h("input", { name: "job", value: id })));
    document.body.append(frame, form);
    form.submit();
    form.remove();
    setTimeout(() => frame.remove(), FRAME_MS);
  }

  function refusalIn(text) {
    try { return JSON.parse(text).error.message; } catch { return text.slice(0, 300); }
  }

  return { view, shown: () => shown(), saveZip };
}
