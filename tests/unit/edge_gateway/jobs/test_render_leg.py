"""The render leg with a node that stands still: what is under way stays within the windows."""

import asyncio
import hashlib
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_gateway.jobs.events import Journal, ProgressBoard
from edge_gateway.jobs.faces import Crop, Face
from edge_gateway.jobs.files import JobFiles, Speech
from edge_gateway.jobs.job import Change, EventBody
from edge_gateway.jobs.node import (
    Accepted,
    CropNeed,
    CropOffer,
    CropPiece,
    FromNode,
    Meter,
    NodeStatus,
    RenderedCard,
    RenderedPiece,
    RenderSpec,
    SegmentOrder,
    ToNode,
)
from edge_gateway.jobs.orders import Orders, Window
from edge_gateway.jobs.render import RenderLeg, RenderSettings
from edge_gateway.jobs.usage import Usage
from shared.errors import NodeUnavailableError
from shared.media.profile import BALANCED

SEGMENTS = 12
CROP_BYTES = 1000


class NoJournal(Journal):
    def __init__(self) -> None:
        self.notices: list[EventBody] = []

    async def record(self, job_id: str, *bodies: EventBody, change: Change | None = None) -> None:
        del job_id, change
        self.notices += bodies


class CountedFace(Face):
    """Crops that take no disk; counts how many are read."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.read = 0
        for index in range(SEGMENTS):
            digest = hashlib.sha256(bytes(CROP_BYTES)).digest()
            self.crops.append(
                Crop(
                    index=index, first_frame=index, frame_count=1, lead=0, trail=0, digest=digest, size_bytes=CROP_BYTES
                )
            )
        self.times_us = array("q", range(SEGMENTS))

    def read_crop(self, index: int) -> bytes:
        del index
        self.read += 1
        return bytes(CROP_BYTES)


class StandingNode:
    """Takes everything, asks for every crop and renders what it is told to."""

    address = "there"
    is_draining = False
    is_up = True

    def __init__(self, *, takes_crops: bool = True) -> None:
        self.takes_crops = takes_crops
        self.offers: list[int] = []
        self.orders: list[int] = []
        self.pieces = 0
        self.calls = 0
        self.error: NodeUnavailableError | None = None
        self.ended = asyncio.Event()
        self.replies: asyncio.Queue[FromNode | None] = asyncio.Queue()

    async def status(self) -> NodeStatus:
        raise NotImplementedError

    async def rate(self) -> float:
        raise NotImplementedError

    def has_another(self, address: str) -> bool:
        del address
        return False

    @asynccontextmanager
    async def render(self, meter: Meter, engine: str) -> AsyncIterator["StandingNode"]:
        del meter, engine
        self.calls += 1
        yield self

    async def send(self, message: ToNode) -> None:
        if self.error is not None:
            raise self.error
        match message:
            case RenderSpec():
                self.replies.put_nowait(Accepted(engine="warp", node="there", need_speech=False))
            case CropOffer():
                self.offers.append(message.index)
                self.replies.put_nowait(CropNeed(index=message.index, needed=True))
            case CropPiece():
                self.pieces += 1
                if not self.takes_crops:
                    await asyncio.Event().wait()
            case SegmentOrder():
                self.orders.append(message.segment)

    async def receive(self) -> FromNode | None:
        return await self.replies.get()

    async def end(self) -> None:
        self.replies.put_nowait(None)

    def rendered(self, segment: int, size: int = 10) -> None:
        data = bytes(size)
        card = RenderedCard(
            digest=hashlib.sha256(data).digest(),
            size_bytes=size,
            patch=(0, 0, 2, 2),
            masks=((0.0,) * 6,),
            queue_s=0,
            infer_s=0,
        )
        self.replies.put_nowait(RenderedPiece(segment=segment, offset=0, data=data, card=card))


async def leg_of(node: StandingNode, face: Face, folder: Path, **settings: float) -> RenderLeg:
    journal = NoJournal()
    orders = Orders(SEGMENTS)
    for segment in range(SEGMENTS):
        order = SegmentOrder(
            segment=segment, source_frames=(segment,), times_us=(0,), has_face=(True,), reference_crops=()
        )
        await orders.add(order)
    await orders.close()
    files = JobFiles(folder / "job")
    files.make()
    return RenderLeg(
        node=node,
        spec=RenderSpec(
            job_id="job-1",
            engine="warp",
            crop_px=320,
            matrix="bt709",
            full_range=False,
            speech_digest=b"",
            speech_bytes=1,
            total_segments=SEGMENTS,
            patch=BALANCED.patch,
        ),
        speech=Speech(data=b"s", duration_us=1),
        face=face,
        files=files,
        orders=orders,
        usage=Usage(),
        journal=journal,
        board=ProgressBoard(journal, "job-1"),
        settings=RenderSettings(
            **{
                "window": 6,
                "window_bytes": 1 << 20,
                "segment_bytes": 1 << 20,
                "piece_bytes": CROP_BYTES,
                "patience_s": 60,
                "outage_s": 60,
                "silence_s": 60,
            }
            | settings
        ),
        on_rendered=lambda _: None,
    )


async def settled(node: StandingNode, orders: int) -> None:
    """Wait for so many orders, and let everything else happen that can; threads read crops."""
    while len(node.orders) < orders:
        await asyncio.to_thread(int)
    for _ in range(100):
        await asyncio.to_thread(int)


@pytest.mark.parametrize(("windows", "ordered"), [({"window": 4}, 4), ({"window_bytes": 5 * CROP_BYTES}, 4)])
async def test_a_node_that_renders_nothing_has_a_window_of_orders_and_no_more(
    tmp_path: Path, windows: dict[str, int], ordered: int
) -> None:
    node, face = StandingNode(), CountedFace()
    leg = await leg_of(node, face, tmp_path, **windows)
    running = asyncio.create_task(leg.run())
    await settled(node, ordered)
    assert len(node.orders) == ordered
    assert len(node.offers) == ordered
    node.rendered(0)
    await settled(node, ordered + 1)
    assert len(node.orders) == ordered + 1
    for segment in range(1, SEGMENTS):
        node.rendered(segment)
        await settled(node, min(ordered + segment + 1, SEGMENTS))
    await running
    assert node.orders == list(range(SEGMENTS))


async def test_a_link_that_stands_still_has_one_crop_read_for_it(tmp_path: Path) -> None:
    node, face = StandingNode(takes_crops=False), CountedFace()
    leg = await leg_of(node, face, tmp_path, window_bytes=4 * CROP_BYTES)
    running = asyncio.create_task(leg.run())
    await settled(node, 2)
    assert (face.read, node.pieces) == (1, 1)
    # What was offered and is not sent counts, and as much again is expected to come back.
    assert len(node.orders) == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_one_segment_is_ordered_however_narrow_the_window(tmp_path: Path) -> None:
    node, face = StandingNode(), CountedFace()
    leg = await leg_of(node, face, tmp_path, window_bytes=1)
    running = asyncio.create_task(leg.run())
    await settled(node, 1)
    assert len(node.orders) == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_the_window_learns_what_rendered_segments_weigh() -> None:
    window = Window(segments=100, size_bytes=1000)
    window.offered(0, 100)
    assert window.has_room(3, 100)
    window.settled(0)
    assert window.has_room(8, 100)
    window.rendered(500)
    assert not window.has_room(1, 100)
    assert window.has_room(1, 0)
    assert window.has_room(0, 5000)


async def test_tries_that_end_alike_are_one_line_in_the_log(tmp_path: Path) -> None:
    node = StandingNode()
    node.error = NodeUnavailableError("gone")
    leg = await leg_of(node, CountedFace(), tmp_path, patience_s=0.5)
    with capture_logs() as lines, pytest.raises(NodeUnavailableError):
        await leg.run()
    assert node.calls > 1
    assert [line["error"] for line in lines if line["event"] == "render stream ended"] == ["gone"]
