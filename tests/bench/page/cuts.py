"""The page's own upload of a large file with five cuts and one reload: what crosses the link twice."""

import asyncio
import random
import re
import tempfile
import time
from pathlib import Path

import aiohttp
from playwright.async_api import Page, expect

from shared.digest import CHUNK_BYTES, asset_id, chunk_digest
from tests.bench.page.browser import chromium
from tests.bench.transfer import table
from tests.bench.transfer.large import make_file
from tests.relay import relay
from tests.stack import Stack

CUTS = 5
_RATE = 24 << 20
"""Bytes a second, so that there is a middle in which to load the page again."""
_STATE = ".slots .state >> nth=0"


def id_of(path: Path) -> str:
    """The asset that a file is."""
    with path.open("rb") as file:
        digests = [chunk_digest(data) for data in iter(lambda: file.read(CHUNK_BYTES), b"")]
    return asset_id(path.stat().st_size, digests)


async def send(page: Page, path: Path, *, reload: bool) -> float:
    """Upload through a link; gives the seconds."""
    begin = time.perf_counter()
    await page.set_input_files("#file-video", path)
    if reload:
        bar = page.locator(".slots [role=progressbar]").first
        await expect(bar).to_have_attribute("aria-valuenow", re.compile("5[5-9]|[6-9][0-9]"), timeout=300_000)
        await page.reload()
    await page.locator(_STATE).get_by_text("On the edge").wait_for(timeout=300_000)
    return time.perf_counter() - begin


async def measure(web: str, path: Path, cuts: list[int], *, reload: bool) -> tuple[int, float]:
    """One upload; gives the bytes that crossed beyond the file's own, and the seconds."""
    async with chromium() as browser, relay(web, cuts) as (link, address):
        link.up_bytes_s = _RATE
        page = await browser.new_page(locale="en-US")
        await page.goto(f"http://{address}/")
        took = await send(page, path, reload=reload)
        if link.cuts:
            raise RuntimeError("the upload ended before every cut was made")
        async with aiohttp.ClientSession() as http, http.get(f"http://{web}/assets/{id_of(path)}") as answer:
            if answer.status != 200:
                raise RuntimeError("what the edge has is not the file")
            # So that the next upload is one.
            await http.delete(f"http://{web}/assets/{id_of(path)}")
        return link.up_bytes - path.stat().st_size, took


def show(size: int) -> None:
    """The figures."""
    chance = random.Random(1)
    part = size // (CUTS + 1)
    cuts = [chance.randrange(part // 2, part) for _ in range(CUTS)]
    table.head("upload", "kB beyond the file", "of which again", "s", "digest")
    with tempfile.TemporaryDirectory(prefix="viseme-bench-") as name, Stack(with_node=False) as stack:
        web = stack.parts["edge"].ready.addresses["web"]
        path = make_file(Path(name) / "large.mp4", size)
        plain, took = asyncio.run(measure(web, path, [], reload=False))
        table.row("without cuts", f"{plain / 1000:.0f}", "0", f"{took:.1f}", "matches")
        for words, places, reload in (("five cuts", cuts, False), ("five cuts and a reload", cuts, True)):
            beyond, took = asyncio.run(measure(web, path, list(places), reload=reload))
            table.row(words, f"{beyond / 1000:.0f}", f"{(beyond - plain) / 1000:.0f}", f"{took:.1f}", "matches")
