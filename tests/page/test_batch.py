"""Many jobs at once: pairs by name with one bad file, one recording on many, results in one ZIP, a thousand files."""

import io
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.page.conftest import OpenTab
from tests.page.driver import JOB_MS, SOON_MS, Tab

pytestmark = [pytest.mark.stack, pytest.mark.page]


def fill(folder: Path, photo: Path, speech: Path) -> Path:
    """Pairs a, b, c; c's photo is none. And a file without a partner, and one that is no media."""
    folder.mkdir()
    for name in "ab":
        data = photo.read_bytes()
        (folder / f"{name}.jpg").write_bytes(data + name.encode())
        shutil.copy(speech, folder / f"{name}.wav")
    (folder / "c.jpg").write_bytes(b"no picture at all")
    shutil.copy(speech, folder / "c.wav")
    shutil.copy(photo, folder / "alone.jpg")
    (folder / "notes.txt").write_text("none")
    return folder


async def count(seen: Tab, text: str) -> None:
    await expect(seen.page.locator(".count")).to_have_text(text, timeout=JOB_MS)


async def test_pairs_of_a_folder_one_of_them_bad(
    tab: OpenTab, portrait: Path, short_speech: Path, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "folder", portrait, short_speech)
    seen = await tab(view="#batch")
    await seen.page.set_input_files("#batch-folder", folder)
    await expect(seen.page.locator("main")).to_contain_text("4 videos and photos, 3 recordings; 3 jobs.")
    assert "Without a partner: alone.jpg" in await seen.text("main")
    assert "No media, left out: notes.txt" in await seen.text("main")
    await seen.check_access()
    await seen.page.locator("#start-batch").click()
    await count(seen, "2 of 3 done, 1 failed")
    bad = seen.page.locator(".lines li", has_text="c.jpg")
    await expect(bad).to_have_attribute("data-state", "failed")
    assert re.search("failed: .{20,}", await bad.inner_text())
    await seen.check_access()
    # It stays failed when it is tried again, and harms nobody.
    await seen.page.get_by_role("button", name="Try the failed again").click()
    await expect(bad).not_to_have_attribute("data-state", "failed")
    await count(seen, "2 of 3 done, 1 failed")


async def test_results_come_as_one_zip(tab: OpenTab, portrait: Path, short_speech: Path, tmp_path: Path) -> None:
    seen = await tab(view="#batch")
    photos = []
    for name in ("one", "two"):
        photo = tmp_path / f"{name}.jpg"
        photo.write_bytes(portrait.read_bytes() + name.encode())
        photos.append(photo)
    await seen.page.set_input_files("#batch-files", [*photos, short_speech])
    await expect(seen.page.locator("input[value=speech]")).to_be_checked()
    await seen.page.locator("#start-batch").click()
    await count(seen, "2 of 2 done")
    async with seen.page.expect_download() as begun:
        await seen.page.get_by_role("button", name="All results as ZIP").click()
    path = await (await begun.value).path()
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2


async def test_a_batch_goes_on_after_a_reload(tab: OpenTab, portrait: Path, short_speech: Path, tmp_path: Path) -> None:
    seen = await tab(view="#batch")
    photos = []
    for number in range(5):
        photo = tmp_path / f"{number}.jpg"
        photo.write_bytes(portrait.read_bytes() + b"reload" + bytes([number]))
        photos.append(photo)
    await seen.page.set_input_files("#batch-files", [*photos, short_speech])
    await seen.page.locator("#start-batch").click()
    await expect(seen.page.locator(".count")).to_have_text(re.compile("^[1-4] of 5 done"), timeout=JOB_MS)
    await seen.page.reload()
    await count(seen, "5 of 5 done")


async def test_a_thousand_files_do_not_freeze_the_page(tab: OpenTab, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(500):
        (folder / f"{number:03}.jpg").write_bytes(b"x" + number.to_bytes(2, "big"))
        (folder / f"{number:03}.wav").write_bytes(b"y" + number.to_bytes(2, "big"))
    seen = await tab(view="#batch")
    await expect(seen.page.locator("#batch-folder")).to_be_attached(timeout=SOON_MS)
    # However many there are, a frame makes only some of the rows.
    await seen.page.evaluate(
        """() => {
          globalThis.most = 0;
          let last = 0;
          const look = () => {
            const now = document.querySelectorAll('.lines li').length;
            most = Math.max(most, now - last);
            last = now;
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    await seen.page.set_input_files("#batch-folder", folder)
    await expect(seen.page.locator("main")).to_contain_text("500 videos and photos, 500 recordings; 500 jobs.")
    await seen.page.locator("#start-batch").click()
    await expect(seen.page.locator(".lines li")).to_have_count(500, timeout=SOON_MS)
    await expect(seen.page.locator(".count")).to_have_text(
        re.compile(r"0 of 500 done, \d\d failed"), timeout=2 * SOON_MS
    )
    assert await seen.page.evaluate("most") <= 120
    await seen.go("history")
    await expect(seen.page.locator("h1")).to_have_text("History")
