"""A real browser plays results of the real edge: while they are made, by Media Source, and finished, with seeking."""

from pathlib import Path

import pytest

import viseme
from tests.browser import Page, browser_page
from tests.stack import Stack

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "tests" / "media" / "clip.mp4"
SPEECH = ROOT / "deploy" / "demo" / "speech.wav"

_VIDEO = """
const video = document.createElement('video');
video.muted = true;
document.body.append(video);
const until = name => new Promise((done, fail) => {
    video.addEventListener(name, done, {once: true});
    video.onerror = () => fail(new Error(video.error.message));
});
"""
_LIVE = """
video.src = `/jobs/${job}/preview.mp4`;
video.play();
while (video.currentTime < 0.1) await until('timeupdate');
return video.currentTime;
"""
_MEDIA_SOURCE = """
const base = `/jobs/${job}/preview/`;
const head = await fetch(base + 'init.mp4');
const source = new MediaSource();
video.src = URL.createObjectURL(source);
await new Promise(done => source.addEventListener('sourceopen', done, {once: true}));
const buffer = source.addSourceBuffer(head.headers.get('content-type'));
const add = async answer => {
    buffer.appendBuffer(await answer.arrayBuffer());
    await new Promise((done, fail) => { buffer.onupdateend = done; buffer.onerror = fail; });
};
await add(head);
let count = 0;
for (;; count++) {
    const part = await fetch(`${base}${count}.m4s`);
    if (part.status === 404) break;
    await add(part);
}
source.endOfStream();
const ranges = [];
for (let at = 0; at < video.buffered.length; at++) ranges.push([video.buffered.start(at), video.buffered.end(at)]);
video.playbackRate = 8;
video.play();
await until('ended');
return {count, ranges, time: video.currentTime};
"""
_SEEK = """
video.src = `/jobs/${job}/result`;
await until('loadedmetadata');
const seen = [];
for (const at of [6.5, 1.25, 7.5]) {
    video.currentTime = at;
    await until('seeked');
    seen.push(video.currentTime);
}
return {seen, duration: video.duration};
"""


async def play(page: Page, job: viseme.Job, script: str) -> object:
    return await page.run(f"const job = '{job.id}';{_VIDEO}{script}")


async def test_a_browser_plays_results() -> None:
    with Stack() as stack:
        web = stack.parts["edge"].ready.addresses["web"]
        async with viseme.connect(stack.edge) as edge, browser_page(f"http://{web}/") as page:
            job = await edge.dub(CLIP, SPEECH, fit="loop")
            assert float(str(await play(page, job, _LIVE))) >= 0.1
            told = await play(page, job, _MEDIA_SOURCE)
            report = await job.wait()
            length = pytest.approx(report.frames / report.frame_rate, abs=0.05)
            assert told == {"count": report.segments, "ranges": [[0, length]], "time": length}
            assert await play(page, job, _SEEK) == {"seen": [6.5, 1.25, 7.5], "duration": length}
