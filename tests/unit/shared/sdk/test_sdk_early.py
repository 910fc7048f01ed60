"""Jobs that begin while their files are on their way: what goes first, what ends what, and who hears of failures."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import viseme
from shared.digest import CHUNK_BYTES
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.rpc.channel import send
from shared.sdk import upload as upload_module
from shared.sdk.order import Order
from shared.sdk.testing import RESULT, FakeEdge, progress, state, succeeding
from shared.sdk.upload import WINDOW_CHUNKS

PATIENCE = viseme.Patience(connect_s=0.5, silence_s=5, first_delay_s=0.01, longest_delay_s=0.05)
COUNT = 2 * WINDOW_CHUNKS + 8
SPEECH_BYTES = 3 * CHUNK_BYTES + 7


@pytest.fixture(autouse=True)
def whole_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that is held up before its first piece has said what it is, however slow the machine hashes."""
    monkeypatch.setattr(upload_module, "HASH_AHEAD_S", 60.0)


@pytest.fixture
async def fake() -> AsyncIterator[FakeEdge]:
    async with FakeEdge() as made:
        yield made


@pytest.fixture
async def edge(fake: FakeEdge) -> AsyncIterator[viseme.Edge]:
    async with viseme.connect(fake.address, patience=PATIENCE) as made:
        yield made


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"".join(bytes([index]) * CHUNK_BYTES for index in range(COUNT)))
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(b"s" * SPEECH_BYTES)
    return path


class Begun(viseme.Pause):
    """Lets two uploads begin, and holds up their first piece."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = 0
        self.set()

    async def cleared(self, within_s: float | None = None) -> bool:
        self._begun += within_s is None
        return (self._begun <= 2 and within_s is None) or await super().cleared(within_s)


def stored(fake: FakeEdge, name: str) -> bool:
    return any(one.complete for one in fake.stored.values() if one.manifest.display_name == name)


async def test_a_job_is_there_while_its_files_are_still_on_their_way(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path, tmp_path: Path
) -> None:
    pause = Begun()
    job = await edge.dub(video, speech, pause=pause)
    assert fake.jobs[job.id].state == job_pb2.JOB_STATE_QUEUED
    assert not stored(fake, "clip.mp4")
    seen: list[viseme.Event] = []
    await fake.happen(job.id, state(viseme.JobState.PREPARING), progress(viseme.Stage.PREPARE, 1, 50))
    fake.script = succeeding()[2:]
    async for event in job.events():
        seen.append(event)
        if len(seen) == 3:
            assert not stored(fake, "clip.mp4")
            pause.clear()
    assert job.status.state is viseme.JobState.SUCCEEDED
    await job.save(tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == RESULT
    assert stored(fake, "clip.mp4")
    assert job.report is not None
    assert job.report.stages[viseme.Stage.UPLOAD] > 0


async def test_the_speech_goes_before_the_bulk_of_the_video(
    edge: viseme.Edge, video: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[Any, str] = {}
    sent: list[tuple[str, int]] = []

    async def noting(call: Any, message: Any) -> bool:
        if message.HasField("manifest"):
            names[call] = message.manifest.display_name
        elif message.HasField("piece"):
            sent.append((names[call], message.piece.chunk_index))
        return await send(call, message)

    monkeypatch.setattr(upload_module, "send", noting)
    await (await edge.dub(video, speech)).wait()
    of_video = list(dict.fromkeys(index for name, index in sent if name == video.name))
    assert of_video == [0, 1, COUNT - 2, COUNT - 1, *range(2, COUNT - 2)]
    assert (speech.name, SPEECH_BYTES // CHUNK_BYTES) in sent[: sent.index((video.name, 2))]


async def test_chunks_that_the_edge_waits_for_go_next(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path
) -> None:
    fake.wanted[video.name] = [COUNT - 4, COUNT - 5]
    await (await edge.dub(video, speech)).wait()
    order = fake.order_of[video.name]
    # Those that are on their way already are left to arrive.
    assert order.index(COUNT - 4) <= WINDOW_CHUNKS
    assert order.index(COUNT - 5) == order.index(COUNT - 4) + 1


async def test_an_edge_that_takes_only_complete_files_is_asked_again(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path
) -> None:
    fake.takes_uploading = False
    job = await edge.dub(video, speech)
    assert stored(fake, "clip.mp4")
    await job.wait()
    assert len(fake.jobs) == 1


async def test_an_upload_that_fails_for_good_is_told_and_ends_the_job(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path
) -> None:
    fake.refuse_upload = viseme.InvalidMediaError("no media", field="asset")
    pause = Begun()
    job = await edge.dub(video, speech, pause=pause)
    pause.clear()
    with pytest.raises(viseme.InvalidMediaError, match="no media"):
        async for _ in job.events():
            pass
    with pytest.raises(viseme.InvalidMediaError):
        await job.uploaded()
    with pytest.raises(viseme.InvalidMediaError):
        job.result()
    assert fake.jobs[job.id].state == job_pb2.JOB_STATE_CANCELLED


async def test_a_job_that_fails_stops_its_uploads(fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path) -> None:
    job = await edge.dub(video, speech, pause=Begun())
    await fake.happen(job.id, state(viseme.JobState.FAILED))
    with pytest.raises(viseme.JobFailedError):
        await job.wait()
    await job.uploaded()
    assert not stored(fake, "clip.mp4")


async def test_cancelling_a_job_stops_its_uploads(fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path) -> None:
    job = await edge.dub(video, speech, pause=Begun())
    await job.cancel()
    await job.uploaded()
    with pytest.raises(viseme.CancelledByUserError):
        await job.wait()
    assert not stored(fake, "clip.mp4")


async def test_leaving_the_edge_ends_uploads_and_leaves_the_job(fake: FakeEdge, video: Path, speech: Path) -> None:
    before = asyncio.all_tasks()
    async with viseme.connect(fake.address, patience=PATIENCE) as edge:
        job = await edge.dub(video, speech, pause=Begun())
        ours = asyncio.all_tasks() - before
        assert any("Bringing" in str(task.get_coro()) for task in ours)
    assert all(task.done() for task in ours if "Bringing" in str(task.get_coro()))
    assert fake.jobs[job.id].state == job_pb2.JOB_STATE_QUEUED


async def test_an_edge_that_is_lost_in_an_upload_keeps_the_job(fake: FakeEdge, video: Path, speech: Path) -> None:
    short = viseme.Patience(connect_s=0.1, silence_s=0.2, first_delay_s=0.01, longest_delay_s=0.02)
    async with viseme.connect(fake.address, patience=short) as edge:
        job = await edge.dub(video, speech, pause=Begun())
        await fake.stop()
        with pytest.raises(viseme.EdgeUnavailableError):
            await job.wait()
    assert fake.jobs[job.id].state == job_pb2.JOB_STATE_QUEUED


async def test_an_unfinished_job_of_the_same_files_and_options_is_taken_up(
    fake: FakeEdge, edge: viseme.Edge, video: Path, speech: Path
) -> None:
    fake.script = []
    first = await edge.dub(video, speech, take_up=True)
    again = await edge.dub(video, speech, take_up=True)
    assert (again.id, again.is_taken_up, first.is_taken_up) == (first.id, True, False)
    other = await edge.dub(video, speech, take_up=True, fit="loop")
    plain = await edge.dub(video, speech)
    under = [await edge.dub(video, speech, take_up=True, background=sound) for sound in ("keep", video, video)]
    assert under[2].id == under[1].id
    assert len({first.id, other.id, plain.id, under[0].id, under[1].id}) == 5
    for job in (first, other, plain, *under):
        await job.cancel()
    assert not (await edge.dub(video, speech, take_up=True)).is_taken_up


def test_each_chunk_has_its_turn_once() -> None:
    order = Order(9, doubtful=[0, 5], wanted=[6, 5])
    held = {3}.__contains__
    given = [order.next(held, bulk=False, doubtful=False) for _ in range(5)]
    assert given == [6, 1, 7, 8, None]
    order.want([4])
    assert order.next(held, bulk=False, doubtful=False) == 4
    assert [order.next(held, bulk=True, doubtful=False) for _ in range(2)] == [2, None]
    assert not order.is_empty
    assert [order.next(held, bulk=True, doubtful=True) for _ in range(3)] == [0, 5, None]
    assert order.is_empty
