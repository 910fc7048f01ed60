"""Watchers over real gRPC: many, slow, and one too many."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from edge_gateway.jobs.job import Change, JobState, Notice, Progress, Severity, Stage
from shared.errors import ResourceExhaustedError
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.pb.viseme.gateway.v1.job_pb2_grpc import JobServiceStub
from shared.rpc.channel import END, open_channel
from shared.rpc.status import from_rpc_error
from tests.watched import Watched, watched


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(tmp_path, sessions=300) as made:
        yield made


def subscribe(job_id: str, after: int = 0) -> job_pb2.SessionRequest:
    return job_pb2.SessionRequest(subscribe=job_pb2.Subscribe(job_id=job_id, after_sequence=after))


PING = job_pb2.SessionRequest(ping=job_pb2.Ping(nonce=1))


async def test_a_slow_reader_is_told_what_it_missed_and_every_state(here: Watched) -> None:
    job_id = await here.job()
    async with open_channel(here.address) as channel:
        call: Any = JobServiceStub(channel).Session()
        await call.write(subscribe(job_id))
        assert (await call.read()).event.state_changed.state == job_pb2.JOB_STATE_QUEUED
        count = 0
        # More than fits into all buffers between here and there, while nothing is read.
        for block in range(12):
            for _ in range(100):
                await here.journal.record(
                    job_id,
                    *(Progress(stage=Stage.INFER, done_frames=count + at, total_frames=1 << 40) for at in range(40)),
                )
                count += 40
            notice = Notice(severity=Severity.INFO, reason=f"block{block}", message="m" * 200)
            await here.journal.record(job_id, notice)
        for state in (JobState.PREPARING, JobState.RENDERING, JobState.FINISHING, JobState.SUCCEEDED):
            await here.journal.record(job_id, change=Change(state=state))
        await call.done_writing()
        told = []
        while (answer := await call.read()) is not END:
            told.append(answer)
    events = [answer.event for answer in told if answer.HasField("event")]
    missed = sum(answer.skipped.progress_events for answer in told if answer.HasField("skipped"))
    assert missed > 0
    assert missed + len(events) == count + 12 + 4
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    assert [event.state_changed.state for event in events if event.HasField("state_changed")] == [2, 3, 4, 5]
    assert [event.notice.reason for event in events if event.HasField("notice")] == [f"block{at}" for at in range(12)]


async def test_one_session_carries_many_jobs_each_from_its_own_number(here: Watched) -> None:
    jobs = [await here.job() for _ in range(50)]
    for job_id in jobs:
        await here.journal.record(job_id, *[Progress(stage=Stage.INFER, done_frames=at) for at in range(10)])

    async def asks() -> AsyncIterator[job_pb2.SessionRequest]:
        for number, job_id in enumerate(jobs):
            yield subscribe(job_id, number % 12)
        yield job_pb2.SessionRequest(cancel=job_pb2.Cancel(job_id=jobs[0]))
        for job_id in jobs[1:]:
            await here.journal.record(job_id, change=Change(state=JobState.FAILED))

    async with open_channel(here.address) as channel:
        told = [answer.event async for answer in JobServiceStub(channel).Session(asks())]
    for number, job_id in enumerate(jobs):
        assert [event.sequence for event in told if event.job_id == job_id] == list(range(number % 12 + 1, 13))


async def test_who_unsubscribes_hears_no_more_of_a_job(here: Watched) -> None:
    first, second = await here.job(), await here.job()
    async with open_channel(here.address) as channel:
        call: Any = JobServiceStub(channel).Session()
        for request in (subscribe(first), subscribe(second)):
            await call.write(request)
        await call.read()
        await call.read()
        await call.write(job_pb2.SessionRequest(unsubscribe=job_pb2.Unsubscribe(job_id=first)))
        await call.write(PING)
        assert (await call.read()).HasField("pong")
        await here.journal.record(first, Progress(stage=Stage.INFER, done_frames=1))
        await here.journal.record(second, Progress(stage=Stage.INFER, done_frames=1))
        assert (await call.read()).event.job_id == second
        call.cancel()


async def test_sessions_have_a_limit_and_a_place_is_free_again(here: Watched) -> None:
    job_id = await here.job()
    async with open_channel(here.address) as channel:
        stub = JobServiceStub(channel)
        calls: list[Any] = [stub.Session() for _ in range(300)]
        for call in calls:
            await call.write(subscribe(job_id))
        for call in calls:
            await call.read()
        late: Any = stub.Session()
        with pytest.raises(grpc.aio.AioRpcError) as full:
            await late.read()
        error = from_rpc_error(full.value)
        assert isinstance(error, ResourceExhaustedError)
        assert (error.limit, error.retry_after_s) == ("sessions", 5)
        # An event reaches all of them.
        await here.journal.record(job_id, Progress(stage=Stage.INFER, done_frames=7))
        answers = [(await call.read()).event for call in calls]
        assert {answer.progress.done_frames for answer in answers} == {7}
        calls.pop().cancel()
        async with asyncio.timeout(10):
            while True:
                again: Any = stub.Session()
                await again.write(subscribe(job_id))
                try:
                    assert (await again.read()).event.sequence == 1
                    break  # within the time that it has
                except grpc.aio.AioRpcError:
                    continue
        for call in (again, *calls):
            call.cancel()
