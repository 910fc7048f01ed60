/* A result that plays while it is made: fragments through Media Source; afterwards the finished file. */

const KEPT_S = 30;

export default function (page) {
  const { backoff, live, over } = page;

  /* Fetch, again until the network is back; null where there is none. */
  async function get(url, signal) {
    for (let tries = 0; ; tries++) {
      try {
        const answer = await fetch(url, { signal, cache: "no-store" });
        if (answer.ok) return answer;
        if (answer.status === 404 || answer.status < 500) return null;
      } catch (error) {
        if (signal.aborted) return null;
      }
      await backoff(Math.min(tries, 4));
    }
  }

  const until = (target, ...names) => new Promise((done) => {
    const end = (event) => { for (const name of names) target.removeEventListener(name, end); done(event.type); };
    for (const name of names) target.addEventListener(name, end);
  });

  async function append(video, buffer, data) {
    for (;;) {
      try {
        buffer.appendBuffer(data);
        return (await until(buffer, "updateend", "error")) === "updateend";
      } catch (error) {
        if (error.name !== "QuotaExceededError") throw error;
        const end = video.currentTime - KEPT_S;
        if (end > 0.1) {
          buffer.remove(0, end);
          await until(buffer, "updateend", "error");
        } else await until(video, "timeupdate", "seeked", "emptied");
      }
    }
  }

  /* Play a job's preview in a video element until it is left, or the result is there. */
  async function preview(video, job, signal, onPlayable) {
    const base = `/jobs/${job.job_id}/preview/`;
    const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;
    const head = await get(base + "init.mp4", signal);
    if (!head || signal.aborted) return;
    const type = head.headers.get("content-type");
    if (!Source?.isTypeSupported(type)) {
      video.src = `/jobs/${job.job_id}/preview.mp4`;
      onPlayable();
      return;
    }
    const source = new Source();
    video.disableRemotePlayback = true;
    const url = URL.createObjectURL(source);
    video.src = url;
    await until(source, "sourceopen");
    const buffer = source.addSourceBuffer(type);
    const alive = () => !signal.aborted && source.readyState === "open";
    if (!(await append(video, buffer, await head.arrayBuffer()))) return;
    for (let count = 0; alive(); count++) {
      const answer = await get(`${base}${count}.m4s`, signal);
      if (!answer || !alive()) break;
      const data = await answer.arrayBuffer().catch(() => null);
      if (!data) { count--; continue; }
      if (!alive() || !(await append(video, buffer, data))) break;
      if (!count) onPlayable();
    }
    if (alive()) source.endOfStream();
    URL.revokeObjectURL(url);
  }

  /* The finished file in place of the preview, at the same moment. */
  function finished(video, job) {
    const { currentTime, paused, ended } = video;
    video.src = `/jobs/${job.job_id}/result`;
    if (currentTime && !ended) video.currentTime = currentTime;
    if (!paused && !ended) video.play().catch(() => {});
  }

  /* A video element that shows what there is of a job; gives it, and what to call when the job changes. */
  function screen(video, job, signal, onPlayable) {
    let stage = "";
    const draw = () => {
      if (job.state === "succeeded" && stage !== "done") {
        // What was played of the preview goes on; an element that shows nothing yet takes the file.
        const begun = stage === "preview" && video.currentTime > 0 && !video.ended;
        if (begun && !video.paused) {
          video.addEventListener("pause", () => !signal.aborted && finished(video, job), { once: true });
        } else finished(video, job);
        stage = "done";
        onPlayable();
      } else if (["rendering", "finishing"].includes(job.state) && !stage) {
        stage = "preview";
        preview(video, job, signal, onPlayable).catch(() => {});
      } else if (over(job) && job.state !== "succeeded") video.removeAttribute("src");
    };
    const heard = (event) => event.detail === job && draw();
    live.addEventListener("job", heard);
    signal.addEventListener("abort", () => {
      live.removeEventListener("job", heard);
      video.pause();
      video.removeAttribute("src");
      video.load();
    });
    draw();
  }
  return { screen };
}
