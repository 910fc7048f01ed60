"""The link between the real edge and the real node is cut at a chosen message of a job, in each of its phases."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.luck.wire import RenderTalk, Wire, wire
from tests.signing import film_digest
from tests.stack import Stack

pytestmark = [pytest.mark.luck, pytest.mark.stack, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "tests" / "media" / "clip.mp4"
SPEECH = ROOT / "deploy" / "demo" / "speech.wav"
WINDOW = 2
PIECE_BYTES = 4096
EDGE_FLAGS = (
    *("--segment-seconds", "0.5", "--node-window", str(WINDOW), "--node-piece-bytes", str(PIECE_BYTES)),
    *("--link-profile", "balanced"),
)
When = Callable[[str, Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dubbed:
    digest: str
    talk: RenderTalk
    notices: list[str]


@asynccontextmanager
async def far_node(folder: Path, talk: RenderTalk) -> AsyncIterator[tuple[Stack, Wire]]:
    """Fresh parts whose link goes through the wire."""
    parts: list[Stack] = []
    async with wire(lambda: parts[0].parts["node"].ready.addresses["rpc"], talk.on_data) as (link, address):
        stack = Stack(folder=folder, edge_flags=("--node", address, *EDGE_FLAGS))
        parts.append(stack)
        await asyncio.to_thread(stack.__enter__)
        try:
            yield stack, link
        finally:
            await asyncio.to_thread(stack.close)


async def dub(folder: Path, when: When | None = None) -> Dubbed:
    talk = RenderTalk() if when is None else RenderTalk(when)
    output = folder / "out.mp4"
    async with far_node(folder, talk) as (stack, link):
        done = await asyncio.to_thread(
            stack.viseme, "dub", str(CLIP), str(SPEECH), "-o", str(output), "--json", check=False
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr}\n{stack.log('edge')[-4000:]}"
        assert link.cuts == (when is not None)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return Dubbed(
        digest=film_digest(output),
        talk=talk,
        notices=[line["reason"] for line in told if line["event"] == "notice"],
    )


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory) -> Dubbed:
    return asyncio.run(dub(tmp_path_factory.mktemp("uncut")))


def nth(kind: str, number: int, holds: When = lambda _kind, _told: True) -> When:
    """The message of this kind and number for which something holds."""
    seen = 0

    def when(of: str, told: Any) -> bool:
        nonlocal seen
        seen += of == kind and holds(of, told)
        return of == kind and seen == number

    return when


PHASES: dict[str, When] = {
    "before the node accepts": nth("accepted", 1),
    "while speech goes": nth("speech", 3),
    "while crops go": nth("crop", 3),
    "while the first crop is ordered": nth("order", 1),
    "in a rendered segment": nth("rendered", 2, lambda _, told: told.segment_index >= 1),
    "at the end of a rendered segment": nth("rendered", 3, lambda _, told: told.HasField("complete")),
}


def check(dubbed: Dubbed, uncut: Dubbed) -> None:
    """The result is that of a job that nothing happened to, and only what was in flight was sent again."""
    assert dubbed.digest == uncut.digest
    talk = dubbed.talk
    again = {segment for segment, count in talk.orders.items() if count > 1}
    assert len(again) <= WINDOW
    assert all(count <= 2 for count in talk.orders.values())
    assert talk.orders.keys() == uncut.talk.orders.keys()
    # Of crops at most the one that was on its way goes twice, of the speech at most all.
    assert talk.sent["crop"] <= sum(talk.crop_sizes.values()) + max(talk.crop_sizes.values())
    assert talk.sent["speech"] <= 2 * talk.specs[0].speech_bytes
    rendered = uncut.talk.sent["rendered"]
    assert talk.sent["rendered"] <= rendered + WINDOW * (rendered // len(uncut.talk.orders)) * 4
    assert all(talk.whole[segment] == 1 for segment in talk.orders.keys() - again)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_cut_in_a_phase_costs_what_was_in_flight(phase: str, uncut: Dubbed, tmp_path: Path) -> None:
    dubbed = await dub(tmp_path, PHASES[phase])
    assert dubbed.talk.was_cut
    check(dubbed, uncut)


async def test_a_cut_before_the_last_acknowledgement_costs_nothing(uncut: Dubbed, tmp_path: Path) -> None:
    dubbed = await dub(tmp_path, nth("ack", len(uncut.talk.orders)))
    check(dubbed, uncut)
    assert set(dubbed.talk.orders.values()) == {1}


async def test_a_cut_while_the_result_is_joined_is_not_noticed(uncut: Dubbed, tmp_path: Path) -> None:
    """The last message of the call has passed by then."""
    last = len(uncut.talk.orders)
    acked = 0

    def when(kind: str, told: Any) -> bool:
        del told
        nonlocal acked
        acked += kind == "ack"
        return False

    talk = RenderTalk(when)
    output = tmp_path / "out.mp4"
    async with far_node(tmp_path, talk) as (stack, link):
        job = await asyncio.create_subprocess_exec(
            *stack.command("dub", str(CLIP), str(SPEECH), "-o", str(output), "--json"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert job.stdout is not None
        async for line in job.stdout:
            if json.loads(line).get("state") == "finishing" and not link.cuts:
                link.cut()
        assert await job.wait() == 0
    assert link.cuts == 1
    assert acked == last
    assert film_digest(output) == uncut.digest
