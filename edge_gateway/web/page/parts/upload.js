/* Uploads by tus: they go on after cuts, reloads and closed tabs, and a file that two tabs send is sent by one. */

const CHUNK = 1 << 20;
const HASHED_BYTES = 256 << 20;
const AT_ONCE = 3;
const STALL_MS = 20_000;
const CHECK_MS = 180_000;
const TUS = { "Tus-Resumable": "1.0.0" };

export default function (page) {
  const { t, live, call, insist, backoff, Pace, Refused, memory } = page;
  page.words({
    "up-refused": ["The edge refused it: {0}", "服务器拒绝：{0}"],
    "up-expired": ["The edge has forgotten this upload. Start a new job.", "服务器已清除此次上传，请新建任务。"],
    "up-gone": ["The file cannot be read any more. Choose it again.", "文件已无法读取，请重新选择。"],
  });
  const tasks = new Map();
  const kept = openStore();
  const uploads = kept("uploads");
  const store = {
    ...uploads,
    put: (record) => { memory.set("viseme-uploads", "1"); return uploads.put(record); },
    remove: async (key) => {
      await uploads.remove(key).catch(() => {});
      if (!(await uploads.all().catch(() => [1])).length) memory.set("viseme-uploads", "0");
    },
  };
  const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("viseme-uploads") : null;
  let running = 0;
  const queue = [];

  /* Wait for one of the few places. */
  const enter = () => new Promise((done) => {
    if (running < AT_ONCE) { running++; done(); } else queue.push(done);
  });
  const leave = () => { const next = queue.shift(); if (next) next(); else running--; };

  class Task extends EventTarget {
    constructor(record) {
      super();
      Object.assign(this, { state: "looking", offset: 0, error: "", assetId: "", holders: 0, pace: new Pace() }, record);
      this.referred = new Promise((done, fail) => Object.assign(this, { refer: done, refuse: fail }));
      this.referred.catch(() => {});
      this.ended = new Promise((done) => (this.end = done));
    }

    get part() { return this.size ? this.offset / this.size : 0; }

    /* What a job names it by, as soon as there is a name; raises where the file is refused. */
    ref() { return this.assetId ? Promise.resolve(this.assetId) : this.referred; }

    /* A job waits for it: it goes on whatever becomes of the form. */
    use(jobId) {
      this.jobs = [...new Set([...this.jobs, jobId])];
      if (this.state !== "done") store.put(this.record());
    }

    /* Nobody wants it any more, unless a job does. */
    drop() {
      if (--this.holders > 0 || this.jobs.length || this.state === "done") return;
      this.dropped = true;
      this.xhr?.abort();
      tasks.delete(this.key);
      store.remove(this.key);
      if (this.url && this.state !== "away") call("DELETE", this.url, undefined, TUS).catch(() => {});
      this.end();
    }

    record() {
      const { key, name, size, type, url, jobs, slot, file } = this;
      return { key, name, size, type, url, jobs, slot, file: this.unstored ? null : file };
    }

    set(state, more = {}) {
      Object.assign(this, more, { state });
      const now = performance.now();
      if (state === "done") this.refer(this.assetId);
      else if (this.url) this.refer("upload:" + this.url.split("/").at(-1));
      if (state === "failed") this.refuse(new Error(this.error));
      if (state === "done" || state === "failed") { store.remove(this.key); this.end(); }
      this.dispatchEvent(new Event("change"));
      if (state === "away" || (state === "sending" && now - (this.shouted ?? 0) < 400)) return;
      this.shouted = now;
      const { key, offset, size, assetId, error, url } = this;
      channel?.postMessage({ key, state, offset, size, assetId, error, url });
    }
  }

  /* What another tab says of an upload that both have. */
  channel?.addEventListener("message", ({ data }) => {
    const task = tasks.get(data.key);
    if (task?.state !== "away") return;
    const { offset, url, assetId, error } = data;
    task.pace.add(offset);
    const ends = data.state === "done" || data.state === "failed";
    task.set(ends ? data.state : "away", { offset, url: url || task.url, assetId, error });
  });

  const keyOf = (file) => [file.name, file.size, file.lastModified, file.type].join("|");

  /* Send a file; the same file again is the same upload. */
  function add(file, slot = "") {
    const key = keyOf(file);
    let task = tasks.get(key);
    if (task?.state === "lost") Object.assign(task, { file });
    if (!task || task.state === "failed" || task.state === "lost") {
      task = task?.state === "lost" ? task : new Task({ key, file, name: file.name, size: file.size, type: file.type, url: "", jobs: [], slot });
      tasks.set(key, task);
      run(task);
    }
    task.holders++;
    return task;
  }

  async function run(task) {
    try {
      task.set("looking");
      const begun = task.url ? null : await store.get(task.key).catch(() => null);
      // The same file as before a reload, or in another tab: its upload is taken up.
      if (begun) Object.assign(task, { url: begun.url, jobs: [...new Set([...begun.jobs, ...task.jobs])] });
      const known = await knownAsset(task);
      if (known) return task.set("done", { assetId: known, offset: task.size });
      await store.put(task.record()).catch(() => { task.unstored = true; return store.put(task.record()).catch(() => {}); });
      await alone(task, () => send(task));
    } catch (error) {
      if (task.dropped) return;
      const message = error instanceof Refused ? t("up-refused", error.message) : error.name === "NotReadableError" ? t("up-gone") : error.message;
      task.set("failed", { error: message, field: error.field });
    }
  }

  /* Run while no other tab sends the same file. Browsers have locks on pages by https or of their own machine alone. */
  async function alone(task, work) {
    if (!navigator.locks) return work();
    const name = "viseme-upload:" + task.key;
    const gone = await navigator.locks.request(name, { ifAvailable: true }, async (lock) => (lock ? (await work(), true) : false));
    if (gone || task.dropped) return;
    task.set("away");
    await navigator.locks.request(name, async () => {
      if (task.state !== "away" || task.dropped) return;
      Object.assign(task, await store.get(task.key).then((record) => record && { url: record.url }).catch(() => {}));
      await work();
    });
  }

  async function send(task) {
    if (task.dropped) return;
    task.set("waiting");
    await enter();
    try {
      for (let tries = 0; !task.dropped; tries++) {
        try {
          if (task.url) await ask(task);
          if (task.dropped || task.state === "done") return;
          if (!task.url) await create(task);
          const before = task.offset;
          await append(task);
          if (task.state === "done") return;
          if (task.offset > before) tries = 0;
        } catch (error) {
          if (!goesOn(task, error)) throw error;
          task.set("again");
          await backoff(Math.min(tries, 5));
        }
      }
    } finally {
      leave();
    }
  }

  /* Whether it is worth trying again. */
  function goesOn(task, error) {
    if (!(error instanceof Refused)) return error instanceof TypeError;
    if (error.status === 404 || error.status === 410) {
      if (task.jobs.length) throw new Error(t("up-expired"));
      task.url = "";
      return true;
    }
    return error.retryable || [409, 429].includes(error.status);
  }

  const encoded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

  async function create(task) {
    // The edge bounds metadata; of a longer name its end says what the file is.
    const name = task.name.length > 200 ? task.name.slice(0, 150) + "…" + task.name.slice(-40) : task.name;
    const metadata = [`filename ${encoded(name)}`, ...(task.type ? [`filetype ${encoded(task.type)}`] : [])].join(",");
    const answer = await request(task, "POST", "/files/", { "Upload-Length": task.size, "Upload-Metadata": metadata });
    task.url = new URL(answer.headers("Location"), location.href).pathname;
    task.offset = 0;
    await store.put(task.record()).catch(() => {});
    task.set("sending");
  }

  /* Ask how far it is; an upload whose bytes are all there may have become an asset. */
  async function ask(task) {
    const answer = await request(task, "HEAD", task.url, {});
    landed(task, answer);
  }

  async function append(task) {
    task.set("sending");
    const body = task.file.slice(task.offset);
    if (!task.file) throw new Error(t("up-gone"));
    const answer = await request(task, "PATCH", task.url, { "Upload-Offset": task.offset, "Content-Type": "application/offset+octet-stream" }, body);
    landed(task, answer);
  }

  function landed(task, answer) {
    task.offset = +answer.headers("Upload-Offset");
    task.pace.add(task.offset);
    const assetId = answer.headers("Viseme-Asset-Id");
    if (assetId) task.set("done", { assetId, offset: task.size });
  }

  /* One request of tus; raises TypeError where the network breaks or stands still. */
  function request(task, method, url, headers, body) {
    return new Promise((done, fail) => {
      const xhr = (task.xhr = new XMLHttpRequest());
      let watchdog;
      const alive = (ms = STALL_MS) => { clearTimeout(watchdog); watchdog = setTimeout(() => xhr.abort(), ms); };
      const broken = () => { clearTimeout(watchdog); stop(); fail(new TypeError("the network broke")); };
      const stop = () => live.removeEventListener("link", cut);
      const cut = () => live.up === false && navigator.onLine === false && xhr.abort();
      live.addEventListener("link", cut);
      xhr.open(method, url);
      for (const [name, value] of Object.entries({ ...TUS, ...headers })) xhr.setRequestHeader(name, value);
      const begin = task.offset;
      xhr.upload.onprogress = (event) => {
        alive();
        task.offset = begin + event.loaded;
        task.pace.add(task.offset);
        measured(task);
        task.set(task.offset < task.size ? "sending" : "checking");
        if (task.offset >= task.size) alive(CHECK_MS);
      };
      xhr.onerror = xhr.onabort = broken;
      xhr.onload = () => {
        clearTimeout(watchdog);
        stop();
        if (xhr.status < 300) return done({ headers: (name) => xhr.getResponseHeader(name) ?? "" });
        let told = null;
        try { told = JSON.parse(xhr.responseText).error; } catch { /* HEAD has no body */ }
        fail(new Refused(xhr.status, told));
      };
      alive(body ? STALL_MS : CHECK_MS);
      xhr.send(body);
    });
  }

  let toldAt = 0;
  function measured(task) {
    const now = performance.now();
    if (now - toldAt < 1000 || !task.pace.rate) return;
    toldAt = now;
    const sending = [...tasks.values()].filter((one) => one.state === "sending");
    live.upBits = 8 * sending.reduce((sum, one) => sum + one.pace.rate, 0) || live.upBits;
    live.dispatchEvent(new Event("link"));
  }

  /* The id of a file that the edge has already; empty where it has not, or where that cannot be told cheaply. */
  async function knownAsset(task) {
    if (!crypto.subtle || task.url || !task.file || task.size > HASHED_BYTES || !task.size) return "";
    const head = new TextEncoder().encode(`viseme asset 1\n${task.size}\n${CHUNK}\n`);
    const count = Math.ceil(task.size / CHUNK);
    const all = new Uint8Array(head.length + 32 * count);
    all.set(head);
    for (let at = 0; at < count && !task.dropped; at++) {
      const data = await task.file.slice(at * CHUNK, (at + 1) * CHUNK).arrayBuffer();
      all.set(new Uint8Array(await crypto.subtle.digest("SHA-256", data)), head.length + 32 * at);
    }
    const id = Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", all)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    try {
      const asset = await insist("GET", "/assets/" + id);
      return asset.asset_id ?? asset.asset?.asset_id ?? "";
    } catch (error) {
      if (error.status === 404) return "";
      throw error;
    }
  }

  /* Go on with what a reload or a closed tab broke off. */
  let resumed;
  const resume = () => (resumed ??= store.all().then((records) => {
    for (const record of records) {
      if (tasks.has(record.key)) continue;
      const task = new Task(record);
      if (!record.jobs.length && record.slot && record.file) {
        page.choose(record.slot, record.file);
        continue;
      }
      if (!record.jobs.length) { store.remove(record.key); continue; }
      tasks.set(record.key, task);
      if (record.file) run(task);
      else task.set("lost");
    }
  }).catch(() => {}));

  return { add, resume, kept, keyOf, of: (jobId) => [...tasks.values()].filter((task) => task.jobs.includes(jobId)) };
}

/* What this browser keeps: unfinished uploads and batches, with their files. */
function openStore() {
  const opened = new Promise((done, fail) => {
    const asked = indexedDB.open("viseme", 1);
    asked.onupgradeneeded = () => {
      for (const name of ["uploads", "batches", "files"]) asked.result.createObjectStore(name, { keyPath: "key" });
    };
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => fail(asked.error);
  });
  opened.catch(() => {});
  return (name) => {
    const run = async (mode, work) => {
      const transaction = (await opened).transaction(name, mode);
      const asked = work(transaction.objectStore(name));
      return new Promise((done, fail) => {
        transaction.oncomplete = () => done(asked.result);
        transaction.onerror = transaction.onabort = () => fail(transaction.error);
      });
    };
    return {
      get: (key) => run("readonly", (kept) => kept.get(key)),
      all: () => run("readonly", (kept) => kept.getAll()),
      put: (record) => run("readwrite", (kept) => kept.put(record)),
      remove: (key) => run("readwrite", (kept) => kept.delete(key)),
      clear: () => run("readwrite", (kept) => kept.clear()),
    };
  };
}
