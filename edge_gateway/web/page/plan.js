/* What a browser can tell of a file before it is sent, and what will come of two of them. */

const ENDINGS = {
  video: /\.(mp4|m4v|mov|mkv|webm|avi|flv)$/i,
  photo: /\.(jpe?g|png)$/i,
  audio: /\.(wav|mp3|m4a|aac|flac|ogg|oga|opus|weba)$/i,
};
const FRAMES_S = 25;
const LOOK_MS = 8000;

/* video, photo, audio, or "" for what is none of them. */
function kindOf(file) {
  for (const [kind, ending] of Object.entries(ENDINGS)) if (ending.test(file.name)) return kind;
  const type = file.type.split("/")[0];
  return { video: "video", image: "photo", audio: "audio" }[type] ?? "";
}

/* An element that shows the file, and what it tells of itself; without a length where this browser cannot read it. */
async function look(file) {
  const kind = kindOf(file);
  const node = h(kind === "photo" ? "img" : kind === "audio" ? "audio" : "video", { alt: "" });
  const url = URL.createObjectURL(file);
  const seen = { kind, node, url, duration: 0, width: 0, height: 0, shown: true };
  if (kind !== "photo") Object.assign(node, { preload: "metadata", muted: kind === "video", controls: true, playsInline: true });
  const told = new Promise((done) => {
    for (const name of ["load", "loadedmetadata", "error"]) node.addEventListener(name, () => done(name), { once: true });
    setTimeout(done, LOOK_MS, "error");
  });
  node.src = kind === "video" ? url + "#t=0.05" : url;
  seen.shown = (await told) !== "error";
  if (kind === "video" && seen.shown && !node.videoWidth) seen.shown = false;
  if (Number.isFinite(node.duration)) seen.duration = node.duration;
  seen.width = node.naturalWidth || node.videoWidth || 0;
  seen.height = node.naturalHeight || node.videoHeight || 0;
  return seen;
}

/* How long the result will be, and why. */
function lengthOf(video, speech, { fit, keep_length: keep }) {
  const spoken = speech.duration;
  if (!spoken) return { seconds: 0, words: "" };
  if (video.kind === "photo") return { seconds: spoken, words: t("will-photo", clock(spoken)) };
  if (!video.duration) return { seconds: spoken, words: "" };
  const longer = spoken - video.duration;
  if (longer <= 0.04) {
    return keep
      ? { seconds: video.duration, words: t("will-keep", clock(video.duration)) }
      : { seconds: spoken, words: t("will-cut", clock(spoken)) };
  }
  const seconds = fit === "trim" ? video.duration : spoken;
  return { seconds, words: t("will-" + fit, span(longer), clock(seconds)) };
}

/* How long it will take: to send what is not there yet, and to render. */
function timeOf(seconds, leftBytes, pace) {
  const send = leftBytes && live.upBits ? (leftBytes * 8) / live.upBits : 0;
  const render = pace && seconds ? (seconds * FRAMES_S) / pace : 0;
  if (leftBytes && !live.upBits) return "";
  const words = [];
  if (leftBytes) words.push(t("takes-send", span(send), bytes(leftBytes), rate(live.upBits)));
  if (render) words.push(t("takes-render", span(render)));
  if (words.length > 1) return t("takes", span(send + render), words.join(t("and")));
  return words.length ? t("takes-only", words[0]) : "";
}
