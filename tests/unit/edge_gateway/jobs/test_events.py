import asyncio
from collections.abc import Sequence

import pytest

from edge_gateway.jobs.events import Gone, Journal, ProgressBoard, Skipped, Watch
from edge_gateway.jobs.job import (
    Change,
    Event,
    EventBody,
    Job,
    JobOptions,
    JobState,
    Notice,
    Progress,
    Severity,
    Stage,
    StateChanged,
)
from shared.errors import EdgeUnavailableError, NotFoundError

JOB = Job(
    job_id="j",
    state=JobState.QUEUED,
    video_asset_id="v",
    speech_asset_id="s",
    options=JobOptions(),
    created_us=0,
    updated_us=0,
)


class MemoryLog:
    """An event log in memory."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self.reads = 0

    async def record(
        self, job_id: str, bodies: Sequence[EventBody], change: Change | None = None
    ) -> tuple[Job, list[Event]]:
        news = [*bodies, *([StateChanged(state=change.state)] if change else [])]
        first = len(self.all) + 1
        events = [Event(job_id=job_id, sequence=first + at, time_us=0, body=body) for at, body in enumerate(news)]
        self.all += events
        return JOB, events

    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        self.reads += 1
        if job_id != "j":
            raise NotFoundError("none")
        return self.all[after : after + limit]

    async def last(self, job_id: str) -> Event:
        if job_id != "j":
            raise NotFoundError("none")
        return self.all[-1]


def progress(frames: int) -> Progress:
    return Progress(stage=Stage.INFER, done_frames=frames)


async def read(watch: Watch) -> list[Event | Gone | Skipped]:
    return [event async for event in watch.read()]


def numbers(events: list[Event | Gone | Skipped]) -> list[int]:
    return [event.sequence for event in events if isinstance(event, Event)]


async def test_a_replay_goes_over_to_live_without_gap_or_doubling() -> None:
    journal = Journal(MemoryLog())
    for frames in range(600):
        await journal.record("j", progress(frames))
    with journal.watch() as watch:
        watch.follow("j", 3)
        seen: list[int] = []
        async for event in watch.read():
            assert isinstance(event, Event)
            seen.append(event.sequence)
            if event.sequence in {100, 300, 600}:
                await journal.record("j", Notice(severity=Severity.INFO, reason="r", message="m"))
        assert seen == list(range(4, 604))
        await journal.record("j", progress(1))
        assert watch.news.is_set()
        assert numbers(await read(watch)) == [604]


async def test_a_slow_watcher_loses_progress_but_no_notice_and_no_state() -> None:
    journal = Journal(MemoryLog())
    with journal.watch() as watch:
        watch.follow("j", 0)
        await read(watch)
        for frames in range(100):
            await journal.record("j", progress(frames))
            if frames % 25 == 0:
                await journal.record("j", Notice(severity=Severity.INFO, reason=str(frames), message="m"))
        await journal.record("j", change=Change(state=JobState.FAILED))
        everything = await read(watch)
        told = [event.body for event in everything if isinstance(event, Event)]
    assert everything[0] == Skipped(job_id="j", progress_events=99)
    assert [body.reason for body in told if isinstance(body, Notice)] == ["0", "25", "50", "75"]
    assert told[-1] == StateChanged(state=JobState.FAILED)
    assert [body for body in told if isinstance(body, Progress)] == [progress(99)]
    assert watch.is_over


async def test_watchers_that_keep_up_cost_no_read_of_the_log() -> None:
    log = MemoryLog()
    journal = Journal(log)
    with journal.watch() as watch:
        watch.follow("j", 0)
        await read(watch)
        before = log.reads
        for frames in range(10):
            await journal.record("j", progress(frames))
            assert len(await read(watch)) == 1
    # One empty look behind each batch is answered by memory, too.
    assert log.reads == before


async def test_a_job_that_is_not_there_is_told_once_and_the_watch_goes_on() -> None:
    journal = Journal(MemoryLog())
    await journal.record("j", progress(1))
    with journal.watch() as watch:
        watch.follow("nobody", 0)
        watch.follow("j", 0)
        gone, event = await read(watch)
        assert isinstance(gone, Gone)
        assert isinstance(event, Event)
        assert watch.following == 1


async def test_a_watch_that_begins_behind_the_last_event_is_over_at_once() -> None:
    journal = Journal(MemoryLog())
    await journal.record("j", progress(1), change=Change(state=JobState.CANCELLED))
    with journal.watch() as watch:
        watch.follow("j", 2)
        assert await read(watch) == []
        assert watch.is_over


async def test_a_watch_that_begins_at_the_present_waits_for_more() -> None:
    journal = Journal(MemoryLog())
    await journal.record("j", progress(1))
    with journal.watch() as watch:
        watch.follow("j", 1)
        assert await read(watch) == []
        assert not watch.is_over
        await journal.record("j", progress(2))
        assert numbers(await read(watch)) == [2]


async def test_a_number_that_no_event_has_yet_is_refused() -> None:
    journal = Journal(MemoryLog())
    await journal.record("j", progress(1))
    with journal.watch() as watch:
        watch.follow("j", 2)
        (gone,) = await read(watch)
        assert isinstance(gone, Gone)
        assert gone.error.field == "after_sequence"
        assert watch.following == 0


async def test_events_that_were_committed_are_told_even_when_their_writer_is_cancelled() -> None:
    journal = Journal(MemoryLog())
    with journal.watch() as watch:
        watch.follow("j", 0)
        await read(watch)
        writing = asyncio.create_task(journal.record("j", progress(1)))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait({writing})
        await asyncio.wait_for(watch.news.wait(), 5)
        assert numbers(await read(watch)) == [1]


async def test_an_edge_that_ends_ends_its_watches() -> None:
    journal = Journal(MemoryLog())
    with journal.watch() as watch:
        watch.follow("j", 0)
        journal.close()
        assert watch.news.is_set()
        with pytest.raises(EdgeUnavailableError):
            await read(watch)


async def test_the_board_records_the_newest_of_each_stage_and_nothing_twice() -> None:
    log = MemoryLog()
    board = ProgressBoard(Journal(log), "j")
    for frames in range(10):
        board.set(progress(frames))
    board.set(Progress(stage=Stage.SEND, done_bytes=5))
    await board.flush()
    await board.flush()
    assert [event.body for event in log.all] == [progress(9), Progress(stage=Stage.SEND, done_bytes=5)]


async def test_every_end_is_told_once_whoever_wrote_it_down() -> None:
    ends: list[Change] = []
    journal = Journal(MemoryLog(), on_end=ends.append)
    await journal.record("j", change=Change(state=JobState.PREPARING))
    assert ends == []
    await journal.record("j", change=Change(state=JobState.CANCELLED))
    assert ends == [Change(state=JobState.CANCELLED)]


async def test_a_slow_watcher_is_told_of_every_event_or_that_it_was_left_out() -> None:
    journal = Journal(MemoryLog())
    with journal.watch() as watch:
        watch.follow("j", 0)
        await read(watch)
        for frames in range(1000):
            await journal.record("j", progress(frames))
        told = await read(watch)
    left_out = sum(part.progress_events for part in told if isinstance(part, Skipped))
    assert left_out + len(numbers(told)) == 1000
    assert numbers(told)[-1] == 1000
    assert len(numbers(told)) < 10


async def test_whoever_replays_is_told_everything_however_slow() -> None:
    journal = Journal(MemoryLog())
    for frames in range(1000):
        await journal.record("j", progress(frames))
    with journal.watch() as watch:
        watch.follow("j", 0)
        assert numbers(await read(watch)) == list(range(1, 1001))


async def test_an_event_wakes_those_alone_who_follow_its_job() -> None:
    journal = Journal(MemoryLog())
    with journal.watch() as watch, journal.watch() as other:
        watch.follow("j", 0)
        other.follow("k", 0)
        for one in (watch, other):
            one.news.clear()
        await journal.record("j", progress(1))
        assert watch.news.is_set()
        assert not other.news.is_set()
        watch.unfollow("j")
        watch.news.clear()
        await journal.record("j", progress(2))
        assert not watch.news.is_set()
