"""The node's side of a stream whose edge does not read."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from inference_node.engine.port import EngineCard, Patch
from inference_node.engine.registry import Registry
from inference_node.metrics import NodeMetrics
from inference_node.render.cache import BlobCache
from inference_node.render.echo import FILLER_BYTES, MEASURE_BYTES, echoed
from inference_node.render.limits import StreamLimits
from inference_node.render.messages import Accepted, JobSpec, Lips, Message, Order, Piece
from inference_node.render.queue import FairQueue
from inference_node.render.segment import SegmentResult
from inference_node.render.service import NodeService
from inference_node.render.session import Session, Ticket
from inference_node.triton.watchdog import TritonState
from shared.errors import LimitExceededError, ResourceExhaustedError
from shared.media.planes import Matrix
from shared.media.profile import BALANCED

SEGMENTS = 40
SEGMENT_BYTES = 1000
CARD = EngineCard(
    name="none", summary="", crop_px=64, crop_scale=1.6, patch=Patch(x=0, y=0, width=2, height=2), models=()
)
SPEC = JobSpec(
    job_id="job",
    engine="",
    crop_px=64,
    matrix=Matrix.BT709,
    full_range=False,
    speech_digest=hashlib.sha256(b"s").digest(),
    speech_bytes=1,
    total_segments=SEGMENTS,
    patch=BALANCED.patch,
)


class NoEngine:
    card = CARD


@dataclass
class Streams:
    """A node without engines: the test renders."""

    queue: FairQueue[Ticket]
    cache: BlobCache
    metrics: NodeMetrics

    def open(self, limits: StreamLimits) -> Session:
        return Session(
            SPEC,
            NoEngine(),  # type: ignore[arg-type]  # nothing is rendered by it
            node="here",
            cache=self.cache,
            queue=self.queue,
            limits=limits,
            metrics=self.metrics,
        )

    async def work(self, taken: list[int]) -> None:
        """Render whatever is in the queue."""
        data = bytes(SEGMENT_BYTES)
        while True:
            ticket = await self.queue.take()
            taken.append(ticket.task.order.segment_index)
            result = SegmentResult(
                data=data,
                digest=hashlib.sha256(data).digest(),
                patch=(0, 0, 2, 2),
                masks=(),
                lips=Lips(seen=(), asked=(), fates=()),
                work_s=0,
            )
            ticket.owner.finished(ticket, result, queue_s=0)


@pytest.fixture
def streams(tmp_path: Path) -> Streams:
    return Streams(
        queue=FairQueue(limit=SEGMENTS),
        cache=BlobCache(tmp_path, limit_bytes=1 << 20),
        metrics=NodeMetrics(CollectorRegistry(), node="here"),
    )


async def orders() -> AsyncIterator[Message]:
    """Segments without a face, which need no crops."""
    for index in range(SEGMENTS):
        yield Order(
            segment_index=index, source_frames=(index,), times_us=(index,), has_face=(False,), reference_crops=()
        )


async def settled() -> None:
    for _ in range(1000):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [
        (StreamLimits(stream_segments=4), 4, 4),
        # What was in the queue when the limit was reached is rendered, too.
        (StreamLimits(stream_segments=8, outbox_bytes=5 * SEGMENT_BYTES), 5, 5 + 8),
        (StreamLimits(stream_segments=8, outbox_bytes=1), 1, 8),
    ],
)
async def test_no_more_is_rendered_than_fits_while_the_edge_does_not_read(
    streams: Streams, limits: StreamLimits, least: int, most: int
) -> None:
    taken: list[int] = []
    working = asyncio.create_task(streams.work(taken))
    replies = streams.open(limits).replies(orders())
    assert isinstance(await anext(replies), Accepted)
    await settled()
    before = len(taken)
    assert least <= before <= most
    await settled()
    assert len(taken) == before
    pieces = [reply async for reply in replies if isinstance(reply, Piece)]
    assert [piece.segment_index for piece in pieces] == taken == list(range(SEGMENTS))
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_more_streams_than_may_be_are_told_to_come_again(streams: Streams) -> None:
    class Runtime:
        state = TritonState.LOCAL

    service = NodeService(
        node="here",
        registry=Registry(engines={"none": NoEngine()}, default="none"),  # type: ignore[dict-item]  # see above
        cache=streams.cache,
        queue=streams.queue,
        runtime=Runtime(),
        limits=StreamLimits(max_streams=1),
        metrics=streams.metrics,
    )

    async def one() -> AsyncIterator[Message]:
        yield SPEC
        await asyncio.Event().wait()

    first = service.render(one())
    assert isinstance(await anext(first), Accepted)
    with pytest.raises(ResourceExhaustedError) as refused:
        await anext(service.render(one()))
    assert refused.value.limit == "max_streams"
    await first.aclose()
    third = service.render(one())
    assert isinstance(await anext(third), Accepted)
    await third.aclose()


async def test_a_measurement_is_given_back_and_has_an_end() -> None:
    async def pieces(size: int, count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(size)

    assert [len(piece) async for piece in echoed(pieces(100, 3))] == [100, 100, 100]
    with pytest.raises(LimitExceededError) as refused:
        assert [piece async for piece in echoed(pieces(FILLER_BYTES + 1, 1))]
    assert refused.value.limit == "filler_bytes"
    with pytest.raises(LimitExceededError) as refused:
        assert [piece async for piece in echoed(pieces(FILLER_BYTES, MEASURE_BYTES // FILLER_BYTES + 1))]
    assert refused.value.limit == "measure_bytes"
