"""A stack and a browser for the page's tests. The node runs its networks itself: Triton is not what is looked at."""

import shutil
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.page.driver import Tab, open_tab
from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={ROOT / 'deploy' / 'demo' / 'speech.wav'}",
)

OpenTab = Callable[..., Awaitable[Tab]]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(node_flags=("--engine-runtime", "local")) as running:
        yield running


@pytest.fixture(scope="module")
def web(stack: Stack) -> str:
    return stack.parts["edge"].ready.addresses["web"]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"no browser is installed: {', '.join(_NAMES)}")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        yield running
        await running.close()


@pytest.fixture
async def tab(browser: Browser, web: str) -> AsyncIterator[OpenTab]:
    """Opens a tab: ``tab(address, width=..., language=..., dark=..., beside=...)``."""
    async with AsyncExitStack() as open_tabs:

        async def open_one(address: str = web, **looks: object) -> Tab:
            return await open_tabs.enter_async_context(open_tab(browser, address, **looks))  # type: ignore[arg-type]

        yield open_one


@pytest.fixture(scope="session")
def clip() -> Path:
    return ROOT / "tests" / "media" / "clip.mp4"


@pytest.fixture(scope="session")
def portrait() -> Path:
    return ROOT / "deploy" / "demo" / "portrait.jpg"


@pytest.fixture(scope="session")
def speech() -> Path:
    return ROOT / "deploy" / "demo" / "speech.wav"


@pytest.fixture(scope="session")
def short_speech(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut(speech, 2.0, tmp_path_factory.mktemp("speech") / "short.wav")


@pytest.fixture(scope="session")
def middle_speech(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little longer than the clip."""
    return cut(speech, 5.0, tmp_path_factory.mktemp("speech") / "middle.wav")


def cut(speech: Path, seconds: float, path: Path) -> Path:
    with wave.open(str(speech)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(int(source.getframerate() * seconds)))
    return path
