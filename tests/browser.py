"""A real browser, spoken to by the DevTools protocol: Chromium, where the machine has it."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
)
_START_SECONDS = 60


@dataclass(slots=True)
class Page:
    """One page."""

    socket: aiohttp.ClientWebSocketResponse
    _asked: int = field(default=0)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call the protocol."""
        self._asked += 1
        await self.socket.send_json({"id": self._asked, "method": method, "params": parameters})
        async for message in self.socket:
            answer = json.loads(message.data)
            if answer.get("id") == self._asked:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
        raise ConnectionError("the browser went away")

    async def run(self, script: str) -> Any:
        """What an async function's body returns in the page."""
        expression = f"(async () => {{ {script} }})()"
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")


@asynccontextmanager
async def browser_page(address: str) -> AsyncIterator[Page]:
    """A page at an address; what its policy forbids pages of the edge, tests may do."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"no browser is installed: {', '.join(_NAMES)}")
    with tempfile.TemporaryDirectory(prefix="viseme-browser-", ignore_cleanup_errors=True) as profile:
        flags = [*_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(program, *flags, stdout=asyncio.subprocess.DEVNULL, stderr=pipe)
        try:
            async with asyncio.timeout(_START_SECONDS):
                port = await _port(process)
            draining = asyncio.create_task(process.stderr.read() if process.stderr else asyncio.sleep(0))
            async with aiohttp.ClientSession() as http:
                async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    (target,) = [one for one in await answer.json() if one["type"] == "page"]
                async with http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=64 << 20) as socket:
                    page = Page(socket)
                    await page.call("Page.enable")
                    await page.call("Page.setBypassCSP", enabled=True)
                    await page.call("Page.navigate", url=address)
                    await page.run(
                        "while (document.readyState !== 'complete') await new Promise(requestAnimationFrame)"
                    )
                    yield page
        finally:
            process.kill()
            await process.wait()
    await draining


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async for line in process.stderr:
        if b"DevTools listening on ws://" in line:
            return int(line.split(b"127.0.0.1:")[1].split(b"/")[0])
    raise RuntimeError("the browser did not start")
