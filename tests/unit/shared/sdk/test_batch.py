"""Many jobs at once: one stream, each file once, no failure stops the rest."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

import viseme
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.sdk.testing import FakeEdge, Faults, state, succeeding

PATIENCE = viseme.Patience(connect_s=0.5, silence_s=5, first_delay_s=0.01, longest_delay_s=0.05)
LENGTH = len(succeeding()) + 1


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name in ("a.mp4", "b.mp4", "c.mp4", "speech.wav"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    return {path.name: str(path) for path in tmp_path.iterdir()}


@pytest.fixture
async def fake() -> AsyncIterator[FakeEdge]:
    async with FakeEdge() as made:
        yield made


async def all_of(edge: viseme.Edge, pairs: list[tuple[str, str]], **options: int) -> list[viseme.Dubbed]:
    return [dubbed async for dubbed in edge.dub_many(pairs, concurrency=options.get("concurrency", 8))]


async def test_every_pair_is_told_and_one_stream_and_one_upload_a_file_are_enough(
    fake: FakeEdge, files: dict[str, str]
) -> None:
    pairs = [(files[f"{name}.mp4"], files["speech.wav"]) for name in "abc"] * 20
    async with viseme.connect(fake.address, patience=PATIENCE) as edge:
        told = await all_of(edge, pairs)
    assert sorted(one.index for one in told) == list(range(60))
    assert all(one.result().state is viseme.JobState.SUCCEEDED for one in told)
    assert all((one.pair.video, one.pair.speech) == pairs[one.index] for one in told)
    assert len({one.result().id for one in told}) == 60
    assert fake.sessions <= 1
    assert fake.uploads == 4


async def test_a_bad_file_and_a_failed_job_stop_nothing(files: dict[str, str], tmp_path: Path) -> None:
    failing = [state(viseme.JobState.PREPARING), state(viseme.JobState.FAILED)]
    async with FakeEdge() as fake, viseme.connect(fake.address, patience=PATIENCE) as edge:
        fake.failure = job_pb2.JobError(reason="no_face", field="video", message="no face")
        missing = str(tmp_path / "none.mp4")
        told = []
        async for one in edge.dub_many(
            [
                (files["a.mp4"], files["speech.wav"]),
                (missing, files["speech.wav"]),
                (files["b.mp4"], files["speech.wav"]),
            ],
            concurrency=1,
        ):
            told.append(one)
            fake.script = failing if len(told) == 2 else fake.script
    first, second, third = told
    assert first.error is None
    assert isinstance(second.error, viseme.InvalidInputError)
    assert second.error.field == "video"
    assert second.job is None
    assert isinstance(third.error, viseme.JobFailedError)
    assert third.error.cause_reason == "no_face"
    with pytest.raises(viseme.JobFailedError):
        third.result()


async def test_a_stream_that_breaks_is_mended_and_no_event_comes_twice(files: dict[str, str]) -> None:
    seen: list[tuple[str, int]] = []
    async with FakeEdge(script=[]) as fake, viseme.connect(fake.address, patience=PATIENCE) as edge:
        fake.faults = Faults(session_after_events=[1, 3, 2])
        pairs = [(files[f"{name}.mp4"], files["speech.wav"]) for name in "abc"]

        async def act() -> None:
            async with asyncio.timeout(10):
                while len(fake.jobs) < 3 or not fake.sessions:  # noqa: ASYNC110 - the fake tells nobody
                    await asyncio.sleep(0.01)
            for job_id in list(fake.jobs):
                for step in succeeding():
                    await fake.happen(job_id, step)

        acting = asyncio.create_task(act())
        many = edge.dub_many(pairs, on_event=lambda event: seen.append((event.job_id, event.sequence)))
        told = [one async for one in many]
        await acting
    assert [one.error for one in told] == [None] * 3
    assert fake.sessions == 4
    for job_id in fake.jobs:
        assert [number for job, number in seen if job == job_id] == list(range(2, LENGTH + 1))


async def test_whoever_leaves_early_cancels_what_runs(files: dict[str, str]) -> None:
    async with FakeEdge(script=[]) as fake, viseme.connect(fake.address, patience=PATIENCE) as edge:
        pairs = [(files["a.mp4"], files["speech.wav"])] * 5
        async with aclosing(edge.dub_many(pairs, concurrency=2)) as many:
            waiting = asyncio.ensure_future(anext(many))
            async with asyncio.timeout(10):
                while len(fake.jobs) < 2:  # noqa: ASYNC110 - the fake tells nobody
                    await asyncio.sleep(0.01)
            await fake.happen("job-1", *succeeding())
            assert (await waiting).result().id == "job-1"
        states = {
            job_id: viseme.JobState(job_pb2.JobState.Name(job.state)[10:].lower()) for job_id, job in fake.jobs.items()
        }
    assert states.pop("job-1") is viseme.JobState.SUCCEEDED
    assert states
    assert set(states.values()) == {viseme.JobState.CANCELLED}


async def test_no_more_run_at_once_than_were_allowed(files: dict[str, str]) -> None:
    async with FakeEdge(script=[]) as fake, viseme.connect(fake.address, patience=PATIENCE) as edge:
        many = edge.dub_many([(files["a.mp4"], files["speech.wav"])] * 4, concurrency=2)
        for number in range(4):
            waiting = asyncio.ensure_future(anext(many))
            async with asyncio.timeout(10):
                while len(fake.jobs) < min(4, number + 2):  # noqa: ASYNC110 - the fake tells nobody
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0)
            assert len(fake.jobs) == min(4, number + 2)
            await fake.happen(f"job-{number + 1}", *succeeding())
            await waiting
        with pytest.raises(StopAsyncIteration):
            await anext(many)


async def test_the_same_key_gives_the_same_jobs(fake: FakeEdge, files: dict[str, str]) -> None:
    pairs = [(files["a.mp4"], files["speech.wav"]), (files["b.mp4"], files["speech.wav"])]
    async with viseme.connect(fake.address, patience=PATIENCE) as edge:
        first = {one.index: one.result().id async for one in edge.dub_many(pairs, idempotency_key="k")}
        again = {one.index: one.result().id async for one in edge.dub_many(pairs, idempotency_key="k")}
    assert first == again
    assert len(fake.jobs) == 2


async def test_what_is_given_for_all_reaches_every_job(fake: FakeEdge, files: dict[str, str]) -> None:
    async with viseme.connect(fake.address, patience=PATIENCE) as edge:
        async for one in edge.dub_many(
            [viseme.Pair(video=files["a.mp4"], speech=files["speech.wav"], idempotency_key="own")],
            timeout=90.5,
            webhook="https://hooks.example.org/",
            fit="loop",
        ):
            one.result()
    (request,) = fake.submitted
    assert request.idempotency_key == "own"
    assert request.timeout.ToNanoseconds() == 90_500_000_000
    assert request.webhook == "https://hooks.example.org/"
    assert request.options.fit == job_pb2.FIT_MODE_LOOP


async def test_pairs_that_break_off_are_told_after_what_runs(fake: FakeEdge, files: dict[str, str]) -> None:
    def pairs() -> Iterator[tuple[str, str]]:
        yield files["a.mp4"], files["speech.wav"]
        raise RuntimeError("the list broke off")

    async with viseme.connect(fake.address, patience=PATIENCE) as edge:
        many = edge.dub_many(pairs())
        assert (await anext(many)).error is None
        with pytest.raises(RuntimeError, match="broke off"):
            await anext(many)


async def test_an_edge_that_stays_silent_is_told_of_every_job(files: dict[str, str]) -> None:
    fake = FakeEdge(script=[])
    await fake.start()
    hasty = viseme.Patience(connect_s=0.2, silence_s=0.3, first_delay_s=0.01, longest_delay_s=0.05)
    async with viseme.connect(fake.address, patience=hasty) as edge:
        many = edge.dub_many([(files["a.mp4"], files["speech.wav"])] * 2, concurrency=2)
        waiting = asyncio.ensure_future(anext(many))
        async with asyncio.timeout(10):
            while not fake.sessions or len(fake.jobs) < 2:  # noqa: ASYNC110 - the fake tells nobody
                await asyncio.sleep(0.01)
        await fake.stop()
        told = [await waiting, *[one async for one in many]]
    assert [type(one.error) for one in told] == [viseme.EdgeUnavailableError] * 2


async def test_a_stream_that_hangs_is_given_up(fake: FakeEdge, files: dict[str, str]) -> None:
    fake.script = []
    fake.faults.session_hangs = True
    hasty = viseme.Patience(ping_s=0.02, first_delay_s=0.01, longest_delay_s=0.02, silence_s=0.3)
    async with viseme.connect(fake.address, patience=hasty) as edge, asyncio.timeout(10):
        (one,) = [one async for one in edge.dub_many([(files["a.mp4"], files["speech.wav"])])]
    assert "pings" in str(one.error)
    assert fake.sessions > 1
