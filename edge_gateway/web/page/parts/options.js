/* What can be told of a job beside its two files. */

export default function (page) {
  const { h, options, noticed, slot, unchoose, edgeStatus } = page;
  page.words({
    "slot-background": ["Sound under the speech", "背景声音"],
    "choose-background": ["Choose a sound", "选择声音"],
    "drop-background": ["or drop it here", "或拖放到此处"],
    "wrong-background": ["Here goes a sound, or a video whose sound is taken.", "此处应为声音，或取其声音的视频。"],
    fit: ["If the speech is longer", "语音更长时"],
    "fit-bounce": ["play back and forth", "来回播放"],
    "fit-loop": ["play again from the start", "从头循环"],
    "fit-hold": ["hold the last frame", "停在最后一帧"],
    "fit-trim": ["cut the speech", "截断语音"],
    "keep-length": ["If the speech is shorter, keep the whole video", "语音更短时保留完整视频"],
    speaker: ["Who speaks", "说话的人"],
    "speaker-largest": ["the largest face", "最大的人脸"],
    "speaker-left": ["the one on the left", "左边的人"],
    "speaker-center": ["the one in the middle", "中间的人"],
    "speaker-right": ["the one on the right", "右边的人"],
    engine: ["Engine", "引擎"],
    "engine-": ["the default", "默认"],
    under: ["Under the speech", "语音之下"],
    "under-none": ["nothing", "无"],
    "under-keep": ["the video's own sound", "视频原声"],
    "under-file": ["a file", "文件"],
    volume: ["Its volume", "音量"],
  });

  const field = (label, input) => h("label", { class: "field" }, h("span", { say: label }), input);
  const select = (name, values, key, take) => h("select", { name, onchange: (event) => { take(event.target.value); noticed(); } },
    ...values.map((value) => h("option", { value, say: key + value })));

  function fields() {
    const engine = select("engine", [""], "engine-", (value) => (options.engine = value));
    edgeStatus().then((told) => engine.append(...told.engines.map((one) => h("option", { value: one.name, title: one.summary }, one.name))), () => {});
    const keep = h("input", { type: "checkbox", name: "keep_length", onchange: (event) => { options.keep_length = event.target.checked; noticed(); } });
    const background = slot("background");
    const volume = field("volume", h("input", { type: "range", name: "volume", min: 0, max: 2, step: 0.05, value: 0.3, oninput: (event) => (options.background_volume = +event.target.value) }));
    background.hidden = volume.hidden = true;
    const under = (value) => {
      options.keep_sound = value === "keep";
      background.hidden = value !== "file";
      volume.hidden = value === "none";
      if (value !== "file") unchoose("background");
    };
    return [
      h("div", { class: "fields" },
        field("fit", select("fit", ["bounce", "loop", "hold", "trim"], "fit-", (value) => (options.fit = value))),
        h("label", { class: "check" }, keep, h("span", { say: "keep-length" })),
        field("speaker", select("speaker", ["largest", "left", "center", "right"], "speaker-", (value) => (options.speaker = value === "largest" ? undefined : { position: value }))),
        field("engine", engine),
        field("under", select("under", ["none", "keep", "file"], "under-", under)), volume),
      background,
    ];
  }

  return { fields };
}
