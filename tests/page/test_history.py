"""What was done before: history with search and deletion, faces, names that want to be more than names, recording."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.page.conftest import OpenTab
from tests.page.driver import SOON_MS, Tab

pytestmark = [pytest.mark.stack, pytest.mark.page]

NAMES = (
    "../../etc/passwd <img src=x onerror=document.title='taken'>.jpg",
    "\u202egpj.exe-\u202c مرحبا שלום.jpg",
    "long " + "x" * 190 + ".jpg",
)


async def make(seen: Tab, photo: Path, speech: Path) -> None:
    await seen.go("new")
    await seen.clear()
    await seen.choose(photo, speech)
    await seen.start()
    await seen.done()


async def test_history_shows_finds_plays_and_deletes(
    tab: OpenTab, portrait: Path, short_speech: Path, tmp_path: Path
) -> None:
    seen = await tab()
    for name in ("anna", "berta", "clara"):
        photo = tmp_path / f"{name}.jpg"
        photo.write_bytes(portrait.read_bytes() + name.encode())
        await make(seen, photo, short_speech)
    await seen.go("history")
    rows = seen.page.locator(".jobs li")
    await expect(rows).to_have_count(3, timeout=SOON_MS)
    await expect(rows.first).to_contain_text("clara.jpg")
    await expect(rows.first.locator("img")).to_have_js_property("complete", value=True)
    assert await rows.first.locator("img").evaluate("image => image.naturalWidth") > 0
    await seen.check_access()
    await seen.page.get_by_role("searchbox").fill("BERTA")
    await expect(rows).to_have_count(1, timeout=SOON_MS)
    await rows.first.get_by_role("link", name="Play berta.jpg").click()
    video = seen.page.locator(".screen video")
    await expect(video).to_have_attribute("src", re.compile("/result$"), timeout=SOON_MS)
    assert await video.evaluate(
        "video => new Promise(done => { video.onseeked = () => done(video.currentTime); video.currentTime = 1; })"
    ) == pytest.approx(1, abs=0.05)
    async with seen.page.expect_download() as begun:
        await seen.page.get_by_role("link", name="Download").click()
    assert (await (await begun.value).path()).read_bytes()[4:8] == b"ftyp"
    await seen.go("history")
    await seen.page.get_by_role("searchbox").fill("")
    await expect(rows).to_have_count(3, timeout=SOON_MS)
    seen.page.on("dialog", lambda dialog: dialog.accept())
    for number in (0, 1):
        await rows.nth(number).get_by_role("checkbox").check()
    await seen.page.get_by_role("button", name="Delete").click()
    await expect(rows).to_have_count(1, timeout=SOON_MS)
    await expect(rows).to_contain_text("anna.jpg")
    left = await seen.page.evaluate("fetch('/jobs').then(answer => answer.json()).then(told => told.jobs.length)")
    assert left == 1


async def test_a_face_used_before_needs_only_a_speech(
    tab: OpenTab, portrait: Path, short_speech: Path, speech: Path
) -> None:
    seen = await tab()
    await make(seen, portrait, short_speech)
    await seen.go("new")
    await seen.page.locator(".slots button:has-text('Remove') >> nth=0").click()
    await seen.page.get_by_role("link", name="A face used before").click()
    tile = seen.page.get_by_role("button", name=re.compile("portrait.jpg"))
    await expect(tile).to_be_visible(timeout=SOON_MS)
    await seen.check_access()
    seen.requests.clear()
    await tile.click()
    await expect(seen.page.locator(".slots .state >> nth=0")).to_contain_text("On the edge already")
    await seen.page.locator(".slots button:has-text('Remove') >> nth=1").click()
    await seen.page.set_input_files("#file-speech", speech)
    await seen.start()
    await seen.done()
    assert len([line for line in seen.requests if line.startswith("PATCH")]) == 1


async def test_a_file_that_the_edge_has_is_not_sent_again(tab: OpenTab, portrait: Path, short_speech: Path) -> None:
    first = await tab()
    await make(first, portrait, short_speech)
    second = await tab()
    await make(second, portrait, short_speech)
    assert [line for line in second.requests if "/files/" in line] == []


async def test_names_of_files_are_only_ever_text(tab: OpenTab, portrait: Path, short_speech: Path) -> None:
    seen = await tab(width=360)
    for number, name in enumerate(NAMES):
        data = portrait.read_bytes() + bytes([number])
        await seen.page.locator("#file-video").set_input_files({"name": name, "mimeType": "image/jpeg", "buffer": data})
        await seen.page.set_input_files("#file-speech", short_speech)
        await seen.check_access()
        await seen.start()
        await seen.done()
        await seen.check_access()
        await seen.go("new")
        await seen.clear()
    await seen.go("history")
    for name in ("taken", "שלום", "long xxx"):
        await expect(seen.page.locator(".jobs li", has_text=name)).to_have_count(1, timeout=SOON_MS)
    await seen.check_access()
    assert await seen.page.locator("main img[src=x]").count() == 0
    assert await seen.page.title() == "History · viseme"


async def test_what_is_no_media_is_said_at_once_or_by_the_edge(
    tab: OpenTab, short_speech: Path, tmp_path: Path
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("none")
    lying = tmp_path / "lying.mp4"
    lying.write_text("none, too")
    seen = await tab()
    await seen.choose(text, short_speech)
    await expect(seen.page.locator(".slots .state >> nth=0")).to_have_text(re.compile("no video, photo or recording"))
    await expect(seen.page.locator("#start")).to_be_disabled()
    await seen.page.locator(".slots button:has-text('Remove') >> nth=0").click()
    await seen.page.set_input_files("#file-video", lying)
    await expect(seen.page.locator(".slots .state >> nth=0")).to_contain_text("The edge refused it: ", timeout=SOON_MS)
    await expect(seen.page.locator("#start")).to_be_disabled()
    await seen.check_access()


async def test_speech_recorded_in_the_page(tab: OpenTab, portrait: Path) -> None:
    seen = await tab()
    await seen.page.set_input_files("#file-video", portrait)
    await seen.page.get_by_role("button", name="Record", exact=True).click()
    stop = seen.page.get_by_role("button", name=re.compile(r"Stop \(0:03\)"))
    await expect(stop).to_be_visible(timeout=SOON_MS)
    await stop.click()
    await expect(seen.page.locator(".slots")).to_contain_text(re.compile("recording .*webm"), timeout=SOON_MS)
    await seen.start()
    await seen.done()
    await expect(seen.page.locator("main")).to_contain_text("lips follow the speech")


async def test_every_view_in_both_languages_small_and_wide_light_and_dark(tab: OpenTab) -> None:
    for width, language, dark in (
        (360, "zh-CN", True),
        (1440, "zh-CN", False),
        (360, "en-US", False),
        (1440, "en-US", True),
    ):
        seen = await tab(width=width, language=language, dark=dark)
        for view in ("new", "batch", "faces", "history"):
            await seen.go(view)
            await expect(seen.page.locator("h1")).not_to_have_text(re.compile("Loading|加载"))
            await seen.check_access()
        await seen.go("new")
        await seen.page.locator("summary").click()
        await seen.page.locator("select[name=under]").select_option("file")
        await seen.check_access()
