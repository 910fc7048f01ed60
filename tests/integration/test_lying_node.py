"""A node that dies in the middle of a segment, damages, lies or never ends, against a real edge over real gRPC."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shared.errors import EngineUnavailableError
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from tests.integration.test_edge_gateway import Client, EchoNode, reasons, running_edge, running_node

PIECE_BYTES = 1 << 20
Lie = Callable[[pb.RenderResponse], Iterable[pb.RenderResponse]]


@dataclass(slots=True)
class LyingNode(EchoNode):
    """Answers as an honest one would, but for what is made of each answer."""

    lie: Lie = field(default=lambda answer: [answer])
    lies: int = 1 << 30
    """Calls in which it lies; in later ones it does not."""
    ends: bool = True
    calls: int = 0

    async def Render(
        self, request_iterator: AsyncIterator[pb.RenderRequest], context: object
    ) -> AsyncIterator[pb.RenderResponse]:
        self.calls += 1
        is_lying = self.calls <= self.lies
        async for answer in EchoNode.Render(self, request_iterator, context):
            for made in self.lie(answer) if is_lying else [answer]:
                yield made
        if not self.ends:
            await asyncio.Event().wait()


async def done(client: Client) -> tuple[job_pb2.Job, list[job_pb2.Event]]:
    job = await client.submit()
    async with asyncio.timeout(60):
        events = await client.events(job.job_id)
    return await client.job(job.job_id), events


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The result that an honest node gives."""

    async def make() -> str:
        async with (
            running_node(EchoNode()) as address,
            running_edge(tmp_path_factory.mktemp("honest"), address) as client,
        ):
            job, _ = await done(client)
            return job.result_asset_id

    return asyncio.run(make())


def dies(answer: pb.RenderResponse) -> Iterable[pb.RenderResponse]:
    yield answer
    if answer.WhichOneof("message") == "rendered" and answer.rendered.segment_index == 1:
        raise EngineUnavailableError("gone in the middle of a segment")


def damages(answer: pb.RenderResponse) -> Iterable[pb.RenderResponse]:
    if answer.WhichOneof("message") == "rendered" and answer.rendered.segment_index == 1:
        answer.rendered.data = answer.rendered.data[:-1] + b"?"
    yield answer


def repeats(answer: pb.RenderResponse) -> Iterable[pb.RenderResponse]:
    if answer.WhichOneof("message") == "progress":
        answer.progress.done_frames = 1 << 31
        yield pb.RenderResponse(progress=pb.SegmentProgress(segment_index=1 << 30, done_frames=7))
    yield from [answer] * (3 if answer.WhichOneof("message") in {"progress", "accepted"} else 1)


@pytest.mark.parametrize(("lie", "reason"), [(dies, "engine_unavailable"), (damages, "node_unavailable")])
async def test_half_a_segment_costs_a_retry_and_the_result_is_the_same(
    honest: str, lie: Lie, reason: str, tmp_path: Path
) -> None:
    node = LyingNode(lie=lie, lies=1)
    async with running_node(node) as address, running_edge(tmp_path, address) as client:
        job, events = await done(client)
    assert job.result_asset_id == honest, job.error
    assert reasons(events)[0] == reason
    assert "node_resumed" in reasons(events)
    assert node.orders.count(0) == 1


async def test_what_is_said_too_often_or_too_high_changes_nothing(honest: str, tmp_path: Path) -> None:
    async with running_node(LyingNode(lie=repeats)) as address, running_edge(tmp_path, address) as client:
        job, events = await done(client)
    assert job.result_asset_id == honest, job.error
    for event in events:
        if event.WhichOneof("body") == "progress" and event.progress.total_frames:
            assert event.progress.done_frames <= event.progress.total_frames


async def test_a_call_that_the_node_never_ends_does_not_hold_the_job_up(honest: str, tmp_path: Path) -> None:
    async with running_node(LyingNode(ends=False)) as address, running_edge(tmp_path, address) as client:
        job, _ = await done(client)
    assert job.result_asset_id == honest, job.error


async def test_a_node_that_damages_everything_fails_the_job_once_patience_ends(tmp_path: Path) -> None:
    node = LyingNode(lie=damages)
    async with (
        running_node(node) as address,
        running_edge(tmp_path, address, node_patience_s=0.5) as client,
    ):
        job, _ = await done(client)
    assert job.state == job_pb2.JOB_STATE_FAILED
    assert job.error.reason == "node_unavailable"
    assert "damaged on the way" in job.error.message


def _with_card(change: Callable[[pb.RenderedPiece], None]) -> Lie:
    def lie(answer: pb.RenderResponse) -> Iterable[pb.RenderResponse]:
        if answer.WhichOneof("message") == "rendered" and answer.rendered.HasField("complete"):
            change(answer.rendered)
        yield answer

    return lie


def _fewer_masks(piece: pb.RenderedPiece) -> None:
    del piece.complete.masks[-1]


def _more_masks(piece: pb.RenderedPiece) -> None:
    piece.complete.masks.extend([piece.complete.masks[0]] * 50_000)


def _wild_mask(piece: pb.RenderedPiece) -> None:
    piece.complete.masks[0].center_x = math.nan


def _patch_beyond(piece: pb.RenderedPiece) -> None:
    piece.complete.patch.x = 150


def _patch_larger(piece: pb.RenderedPiece) -> None:
    piece.complete.patch.width, piece.complete.patch.x = 160, 0


def _unasked(piece: pb.RenderedPiece) -> None:
    piece.segment_index = 77


def _gap(piece: pb.RenderedPiece) -> None:
    piece.offset_bytes += 1


def _asks_for_what_nobody_offered(answer: pb.RenderResponse) -> Iterable[pb.RenderResponse]:
    yield answer
    yield pb.RenderResponse(need=pb.CropNeed(crop_index=99, needed=True))


def _no_video(answer: pb.RenderResponse) -> Iterable[pb.RenderResponse]:
    if answer.WhichOneof("message") != "rendered":
        yield answer
    elif answer.rendered.HasField("complete"):
        data = b"this is no video"
        answer.rendered.data, answer.rendered.offset_bytes = data, 0
        answer.rendered.complete.size_bytes = len(data)
        answer.rendered.complete.digest = hashlib.sha256(data).digest()
        yield answer


def _endless(answer: pb.RenderResponse) -> Iterable[pb.RenderResponse]:
    if answer.WhichOneof("message") != "rendered":
        yield answer
        return
    index = answer.rendered.segment_index
    for at in range(0, 64 * PIECE_BYTES, PIECE_BYTES):
        yield pb.RenderResponse(
            rendered=pb.RenderedPiece(segment_index=index, offset_bytes=at, data=bytes(PIECE_BYTES))
        )


def _nothing_known(answer: pb.RenderResponse) -> Iterable[pb.RenderResponse]:
    yield answer
    yield pb.RenderResponse()


LIES: dict[str, tuple[Lie, str]] = {
    "fewer masks": (_with_card(_fewer_masks), "painted"),
    "more masks": (_with_card(_more_masks), "painted"),
    "a mask that is none": (_with_card(_wild_mask), "beyond the crop"),
    "a patch beyond the crop": (_with_card(_patch_beyond), "beyond the crop"),
    "a patch of another size": (_with_card(_patch_larger), "is of no use"),
    "an unasked segment": (_with_card(_unasked), "nobody ordered"),
    "a gap": (_with_card(_gap), "goes on"),
    "a crop that is none": (_asks_for_what_nobody_offered, "nobody offered"),
    "no video": (_no_video, "is of no use"),
    "endless pieces": (_endless, "larger than"),
    "an unknown message": (_nothing_known, "another version"),
}


async def test_lies_fail_the_job_with_words_about_the_node_and_the_edge_serves_on(
    honest: str, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    node = LyingNode()
    async with (
        running_node(node) as address,
        running_edge(tmp_path, address, node_segment_bytes=4 << 20) as client,
    ):
        for name, (lie, words) in LIES.items():
            with subtests.test(name):
                node.lie = lie
                job, _ = await done(client)
                assert job.state == job_pb2.JOB_STATE_FAILED
                assert (job.error.reason, job.error.field) == ("internal", "")
                assert "node" in job.error.message
                assert words in job.error.message
        assert not list((tmp_path / "jobs").iterdir())
        node.lies = 0
        job, _ = await done(client)
        assert job.result_asset_id == honest, job.error
