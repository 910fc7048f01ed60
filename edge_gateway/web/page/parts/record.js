/* Recording speech in the page. */

const TYPES = [["audio/webm;codecs=opus", "webm"], ["audio/mp4", "m4a"], ["audio/ogg;codecs=opus", "ogg"]];

export default function () {
  /* Begin; onTick is called every half second. Raises what the browser does where it may not. */
  async function start(onTick) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false } });
    const [type, ending] = TYPES.find(([one]) => MediaRecorder.isTypeSupported(one)) ?? ["", "webm"];
    const recorder = new MediaRecorder(stream, { ...(type && { mimeType: type }), audioBitsPerSecond: 64_000 });
    const pieces = [];
    recorder.ondataavailable = (event) => pieces.push(event.data);
    const begin = performance.now();
    const ticking = setInterval(onTick, 500);
    recorder.start(1000);
    return {
      get seconds() { return (performance.now() - begin) / 1000; },
      async stop() {
        clearInterval(ticking);
        await new Promise((done) => { recorder.onstop = done; recorder.stop(); });
        for (const track of stream.getTracks()) track.stop();
        const now = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
        return new File(pieces, `recording ${now}.${ending}`, { type: type.split(";")[0] });
      },
    };
  }
  return { start };
}
