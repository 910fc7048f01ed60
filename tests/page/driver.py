"""What a person does with the page, in a real browser."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect

JOB_MS = 200_000
"""How long a job of a few seconds may take on a busy machine."""
SOON_MS = 20_000
_BENIGN = re.compile(r"Failed to load resource|net::ERR_|EventSource")
"""What Chromium writes by itself when an answer is a refusal or the network is gone."""


@dataclass(slots=True)
class Tab:
    """One tab."""

    page: Page
    context: BrowserContext
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What the page itself complained of."""

    def heard(self, line: ConsoleMessage) -> None:
        """Keep what the browser complains of."""
        if line.type == "error" and not _BENIGN.search(line.text):
            self.faults.append(line.text)

    async def go(self, view: str) -> None:
        """Open a view by its link."""
        await self.page.locator(f"nav a[href='#{view}']").click()

    async def choose(self, video: Path, speech: Path) -> None:
        """Choose the two files."""
        await self.page.set_input_files("#file-video", video)
        await self.page.set_input_files("#file-speech", speech)

    async def clear(self) -> None:
        """Take both files away again."""
        for remove in reversed(await self.page.locator(".slots .choice button").all()):
            await remove.click()

    async def sent(self) -> None:
        """Wait until both files are on the edge."""
        for place in ("nth=0", "nth=1"):
            state = self.page.locator(f".slots .state >> {place}")
            await expect(state).to_have_text(re.compile("On the edge|已"), timeout=SOON_MS)

    async def start(self) -> str:
        """Press the button; gives the job's id."""
        await self.page.locator("#start:enabled").click(timeout=SOON_MS)
        await self.page.wait_for_url(re.compile("#job/"), timeout=SOON_MS)
        return self.page.url.rpartition("/")[2]

    async def done(self) -> None:
        """Wait until the job that is shown has succeeded."""
        await expect(self.page.locator(".actions a.primary")).to_be_visible(timeout=JOB_MS)

    async def text(self, place: str) -> str:
        """What stands somewhere."""
        return await self.page.locator(place).inner_text()

    async def check_access(self) -> None:
        """Nothing that axe-core finds, and nothing that is wider than the window."""
        # What goes on says so by moving; colours are compared when it rests.
        found = await Axe().run(self.page)
        told = [
            (rule["id"], node["html"], node.get("failureSummary"))
            for rule in found.response["violations"]
            for node in rule["nodes"]
        ]
        assert not told, told
        wide = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, wide


@asynccontextmanager
async def open_tab(
    browser: Browser,
    address: str,
    *,
    width: int = 1440,
    language: str = "en-US",
    dark: bool = False,
    beside: Tab | None = None,
    view: str = "",
) -> AsyncIterator[Tab]:
    """A tab at the page of an edge; ``beside`` another, it shares what that keeps."""
    context = (
        beside.context
        if beside
        else await browser.new_context(
            viewport={"width": width, "height": 900},
            locale=language,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
    )
    page = await context.new_page()
    tab = Tab(page, context)
    page.on("request", lambda request: tab.requests.append(f"{request.method} {request.url}"))
    page.on("pageerror", lambda error: tab.faults.append(str(error)))
    page.on(
        "console", lambda line: line.type == "error" and not _BENIGN.search(line.text) and tab.faults.append(line.text)
    )
    await page.goto(f"http://{address}/{view}")
    try:
        yield tab
        assert not tab.faults, tab.faults
    finally:
        await page.close()
        if beside is None:
            await context.close()
