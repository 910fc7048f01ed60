"""First load: the page of an edge and a Gradio page of the same controls, side by side at several distances."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from playwright.async_api import Browser

from tests.bench.page.browser import chromium
from tests.bench.page.distance import Distance, distance
from tests.bench.transfer import table
from tests.stack import Stack

GRADIO = "gradio==6.31.0"
ROUND_TRIPS_MS = (0, 100, 200)
ROUNDS = 5
_QUIET_S = 3.0
"""Time after which what a page still loads is not its first load any more."""
_START_S = 120
_WATCH = """
globalThis.usable = new Promise((done) => {
  const look = () => (%s) ? done(performance.now()) : setTimeout(look, 5);
  look();
});
"""
_OURS = "document.querySelector('#file-video')"
_THEIRS = "[...document.querySelectorAll('button')].some((button) => button.textContent.trim() === 'Start')"
_APP = """
import sys
import gradio as gr

with gr.Blocks() as app:
    audio, video = gr.Audio(type="filepath"), gr.Video()
    start, result = gr.Button("Start"), gr.Video()
    start.click(lambda audio, video: video, [audio, video], result)
app.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One first visit."""

    usable_s: float
    requests: int
    down_bytes: int


async def visit(browser: Browser, far: Distance, control: str) -> Visit:
    """Open a page for the first time; it is usable when its control is there, by the browser's own clock."""
    requests = []
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    await context.add_init_script(_WATCH % control)
    page = await context.new_page()
    page.on("request", lambda request: request.url.startswith("http") and requests.append(request.url))
    before = far.down_bytes
    await page.goto(f"http://{far.address}/", wait_until="commit")
    usable_ms = await page.evaluate("() => globalThis.usable")
    await asyncio.sleep(_QUIET_S)
    await context.close()
    return Visit(usable_s=usable_ms / 1000, requests=len(requests), down_bytes=far.down_bytes - before)


@contextmanager
def gradio(folder: Path) -> Iterator[str]:
    """A Gradio page with audio, video, a button and a result, in an environment of its own."""
    place = folder / "gradio"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", GRADIO], check=True)
    app = folder / "app.py"
    app.write_text(_APP)
    port = 17861
    variables = {"GRADIO_ANALYTICS_ENABLED": "False", "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen([python, app, str(port)], stdout=sys.stderr, env=variables) as running:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            running.terminate()


async def answers(address: str) -> None:
    """Wait until a server answers."""
    async with asyncio.timeout(_START_S), aiohttp.ClientSession() as http:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"http://{address}/"):
                    return
            await asyncio.sleep(0.5)


async def measure(ours: str, theirs: str) -> None:
    """The table."""
    table.head("page", "round trip", "requests", "kB", "usable after")
    async with chromium() as browser:
        for name, address, control in (("viseme", ours, _OURS), ("Gradio 6", theirs, _THEIRS)):
            await answers(address)
            for round_trip in ROUND_TRIPS_MS:
                async with distance(address, round_trip / 1000) as far:
                    visits = [await visit(browser, far, control) for _ in range(ROUNDS)]
                table.row(
                    name,
                    f"{round_trip} ms",
                    f"{table.middle(visits, lambda one: one.requests):.0f}",
                    f"{table.middle(visits, lambda one: one.down_bytes) / 1000:.1f}",
                    f"{table.middle(visits, lambda one: one.usable_s):.2f} s",
                )


def show() -> None:
    """First load, side by side."""
    with (
        tempfile.TemporaryDirectory(prefix="viseme-bench-", ignore_cleanup_errors=True) as name,
        Stack(with_node=False) as stack,
        gradio(Path(name)) as theirs,
    ):
        asyncio.run(measure(stack.parts["edge"].ready.addresses["web"], theirs))
