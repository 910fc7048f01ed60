"""One job in the page of a real edge: files chosen, progress followed, the result watched; small and wide."""

import json
import re
import signal
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.page.conftest import OpenTab
from tests.page.driver import JOB_MS, SOON_MS
from tests.relay import relay
from tests.stack import Stack

pytestmark = pytest.mark.stack

_BARS = """
() => {
  globalThis.seen = new Set();
  const look = () => {
    for (const row of document.querySelectorAll('.stages li:not([hidden])')) {
      const value = row.querySelector('[role=progressbar]').getAttribute('aria-valuenow');
      const words = { 0: 'at 0', 100: 'done', null: 'goes on' };
      seen.add(row.dataset.stage + ' ' + (words[value] ?? 'moves'));
      if (/left/.test(row.innerText)) seen.add(row.dataset.stage + ' left');
    }
    for (const cell of document.querySelectorAll('.strip [data-here]')) seen.add('at ' + cell.dataset.place);
    if (document.querySelector('.newest:not([hidden]) img')?.naturalWidth) seen.add('still');
    const video = document.querySelector('.screen video');
    if (video?.currentTime > 0 && video.src.startsWith('blob:')) seen.add('preview plays');
    requestAnimationFrame(look);
  };
  look();
}
"""


async def test_a_first_visit_takes_two_requests_and_says_that_it_is_connected(tab: OpenTab, web: str) -> None:
    seen = await tab()
    await expect(seen.page.locator("#pill")).to_have_text("Connected", timeout=SOON_MS)
    assert [line.removeprefix(f"GET http://{web}") for line in seen.requests] == ["/", "/events"]
    await seen.check_access()


async def test_a_job_is_followed_from_the_files_to_the_result(
    tab: OpenTab, stack: Stack, clip: Path, speech: Path
) -> None:
    seen = await tab()
    await seen.page.emulate_media(reduced_motion="no-preference")
    await seen.choose(clip, speech)
    await expect(seen.page.locator(".plan")).to_contain_text("plays back and forth: 0:08", timeout=SOON_MS)
    assert "400" in await seen.text(".slot >> nth=0")
    await seen.sent()
    await seen.page.evaluate(f"({_BARS})()")
    await seen.start()
    # A node that stands still gives the newest frame the time to be shown, however short the job.
    node = stack.parts["node"].process
    await seen.page.locator("[data-stage=composite] [role=progressbar]:not([aria-valuenow='0'])").wait_for()
    node.send_signal(signal.SIGSTOP)
    await seen.page.locator(".newest:not([hidden]) img").wait_for()
    node.send_signal(signal.SIGCONT)
    await seen.done()
    told = set(json.loads(await seen.page.evaluate("JSON.stringify([...seen])")))
    assert {"prepare done", "infer moves", "composite moves", "still", "preview plays"} <= told
    assert told & {"at edge", "at link", "at gpu"}
    video = seen.page.locator(".screen video")
    await expect(seen.page.locator(".falls")).to_contain_text("Render the mouth")
    await expect(seen.page.locator("main")).to_contain_text(re.compile("lips follow the speech|no sync score"))
    # The finished file takes the preview's place when that is over, and can be sought in.
    await video.evaluate("video => video.pause()")
    await expect(video).to_have_attribute("src", re.compile("/result$"), timeout=SOON_MS)
    at = await video.evaluate(
        "video => new Promise(done => { video.onseeked = () => done(video.currentTime); video.currentTime = 3.5; })"
    )
    assert at == pytest.approx(3.5, abs=0.05)
    await seen.check_access()


@pytest.mark.page
@pytest.mark.parametrize("width", [360, 1440])
async def test_chinese_from_the_first_word_to_the_result(
    tab: OpenTab, clip: Path, middle_speech: Path, width: int
) -> None:
    seen = await tab(width=width, language="zh-CN", dark=width == 360)
    await expect(seen.page.locator("h1")).to_have_text("让人脸开口说话")
    await seen.check_access()
    await seen.choose(clip, middle_speech)
    await expect(seen.page.locator(".plan")).to_contain_text("来回播放", timeout=SOON_MS)
    await seen.sent()
    await seen.check_access()
    await seen.start()
    await seen.done()
    await expect(seen.page.locator("main")).to_contain_text("口型")
    await seen.check_access()
    # A copy outside the page has no line breaks: words that stand below each other run into one.
    text = str(await seen.page.evaluate(_WITHOUT_NAMES)).replace("GPU", " ")
    left = re.findall(r"[A-Za-z]{4,}", text)
    assert set(left) <= {"viseme", "English", "Mbit", "kbit"}
    await seen.page.locator("#tongue").click()
    await expect(seen.page.locator(".actions a.primary")).to_have_text("Download")
    assert await seen.page.evaluate("document.documentElement.lang") == "en"


_WITHOUT_NAMES = """() => {
  const copy = document.body.cloneNode(true);
  for (const own of copy.querySelectorAll('bdi, script, noscript, .lines, #told')) own.remove();
  return copy.innerText;
}"""


async def test_a_job_starts_before_its_upload_has_ended_and_a_cut_is_told_and_passes(
    tab: OpenTab, web: str, clip: Path, short_speech: Path, tmp_path: Path
) -> None:
    long = tmp_path / "long.mp4"
    long.write_bytes(clip.read_bytes() + (8 << 20).to_bytes(4, "big") + b"free" + bytes((8 << 20) - 8))
    async with relay(web) as (link, address):
        link.up_bytes_s = 2 << 20
        seen = await tab(address)
        await seen.choose(long, short_speech)
        await seen.start()
        await expect(seen.page.locator("[data-stage=upload]")).to_contain_text("%", timeout=SOON_MS)
        link.cut()
        await expect(seen.page.locator("#lost")).to_be_visible(timeout=SOON_MS)
        await expect(seen.page.locator(".strip [data-here]")).to_have_attribute("data-place", "connection")
        link.mend()
        await expect(seen.page.locator("#lost")).to_be_hidden(timeout=SOON_MS)
        link.up_bytes_s = 0
        await expect(seen.page.locator("[data-stage=upload]")).to_contain_text("On the edge", timeout=SOON_MS)
        await expect(seen.page.locator(".actions a.primary")).to_be_visible(timeout=JOB_MS)
        assert link.up_bytes < long.stat().st_size + short_speech.stat().st_size + (2 << 20)
