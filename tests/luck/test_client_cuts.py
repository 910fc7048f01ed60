"""The link between a client and the real edge is cut in each phase of a job: it ends as if nothing had happened."""

import asyncio
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import viseme
from tests.luck.wire import Passing, wire
from tests.stack import Stack

pytestmark = [pytest.mark.luck, pytest.mark.stack, pytest.mark.timeout(600)]

PATIENCE = viseme.Patience(first_delay_s=0.02, longest_delay_s=0.1)
PADDING_BYTES = 3 << 20


@dataclass(slots=True)
class Once:
    """Cuts where something holds for the first time of what passes."""

    holds: Callable[[bool, bytes], bool]
    was_cut: bool = False

    def on_data(self, is_up: bool, data: bytes, passing: list[Passing]) -> bool:
        del passing
        if self.was_cut or not self.holds(is_up, data):
            return False
        self.was_cut = True
        return True


def after(count: int, holds: Callable[[bool, bytes], bool]) -> Callable[[bool, bytes], bool]:
    """Once so many bytes have passed for which something holds."""
    passed = 0

    def over(is_up: bool, data: bytes) -> bool:
        nonlocal passed
        passed += len(data) * holds(is_up, data)
        return passed >= count

    return over


PHASES: dict[str, Callable[[], Callable[[bool, bytes], bool]]] = {
    "upload": lambda: after(1_500_000, lambda is_up, _: is_up),
    "answer to the submission": lambda: lambda is_up, data: not is_up and b"job-" in data,
    "session": lambda: after(1500, lambda is_up, data: not is_up and b"job-" in data),
    "download": lambda: after(60_000, lambda is_up, data: not is_up and len(data) > 2000),
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as running:
        yield running


def padded(clip: Path, folder: Path) -> Path:
    """The clip, followed by bytes that players skip: another file with the same pictures."""
    path = folder / "clip.mp4"
    path.write_bytes(clip.read_bytes() + struct.pack(">I4s", PADDING_BYTES, b"free") + os.urandom(PADDING_BYTES - 8))
    return path


async def dub(address: str, video: Path, speech: Path, output: Path) -> str:
    async with viseme.connect(address, patience=PATIENCE) as edge:
        job = await edge.dub(video, speech)
        await job.wait()
        await job.save(output)
    return hashlib.sha256(output.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def uncut(stack: Stack, clip: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("uncut")
    return asyncio.run(dub(stack.edge, padded(clip, folder), speech, folder / "out.mp4"))


async def jobs_of(stack: Stack) -> int:
    async with viseme.connect(stack.edge) as edge:
        return len([job async for job in edge.jobs()])


@pytest.mark.parametrize("phase", PHASES)
async def test_a_cut_is_not_noticed(
    phase: str, uncut: str, stack: Stack, clip: Path, speech: Path, tmp_path: Path
) -> None:
    before = await jobs_of(stack)
    once = Once(PHASES[phase]())
    async with wire(lambda: stack.edge, once.on_data) as (link, address), asyncio.timeout(120):
        digest = await dub(address, padded(clip, tmp_path), speech, tmp_path / "out.mp4")
    assert link.cuts == 1
    assert digest == uncut
    assert await jobs_of(stack) == before + 1
