"""The composite leg with a child that stands still."""

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edge_gateway.jobs.composite import CompositeLeg, Layer, Rendered
from edge_gateway.jobs.events import Journal, ProgressBoard
from edge_gateway.jobs.faces import Face
from edge_gateway.jobs.files import JobFiles
from edge_gateway.jobs.job import Change, EventBody
from edge_gateway.jobs.usage import Usage
from shared.media.sandbox import Message
from shared.media.timeline import OutputFrame, OutputSegment

SEGMENTS = 8


class NoJournal(Journal):
    def __init__(self) -> None:
        pass

    async def record(self, job_id: str, *bodies: EventBody, change: Change | None = None) -> None:
        pass


class StandingChild:
    def __init__(self) -> None:
        self.sent: list[int] = []
        self.done: asyncio.Queue[int] = asyncio.Queue()

    async def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        del payload
        self.sent.append(header["index"])

    async def receive(self) -> Message:
        return Message(header={"kind": "composited", "index": await self.done.get()}, payload=b"mp4")


async def settled() -> None:
    for _ in range(100):
        await asyncio.to_thread(int)


async def test_a_child_that_stands_still_has_two_segments_and_the_others_lie_on_disk(tmp_path: Path) -> None:
    child, files, rendered = StandingChild(), JobFiles(tmp_path / "job"), Rendered()
    files.make()
    face = Face(tmp_path)
    face.times_us, face.boxes = array("q", range(SEGMENTS)), array("d", [1.0] * 3 * SEGMENTS)
    segments: asyncio.Queue[OutputSegment | None] = asyncio.Queue()
    for index in range(SEGMENTS):
        frame = OutputFrame(index=index, source=index, time_us=index, end_us=index + 1)
        segments.put_nowait(OutputSegment(index=index, frames=(frame,)))
        rendered.mark(index)
    segments.put_nowait(None)

    @asynccontextmanager
    async def start() -> AsyncIterator[StandingChild]:
        yield child

    leg = CompositeLeg(
        start=start,
        layers=[Layer(face=face, files=files, rendered=rendered)],
        crop_px=320,
        files=files,
        usage=Usage(),
        board=ProgressBoard(NoJournal(), "job-1"),
        expected_frames=SEGMENTS,
        on_composited=lambda *_: None,
    )
    running = asyncio.create_task(leg.run(segments))
    while len(child.sent) < 2:
        await asyncio.to_thread(int)
    await settled()
    assert child.sent == [0, 1]
    child.done.put_nowait(0)
    while len(child.sent) < 3:
        await asyncio.to_thread(int)
    await settled()
    assert child.sent == [0, 1, 2]
    assert files.composited(0).read_bytes() == b"mp4"
    for index in range(1, SEGMENTS):
        child.done.put_nowait(index)
    await running
