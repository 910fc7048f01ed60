"""The events of all jobs in one row: replayed, live, coalesced for the slow, and through restarts."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from edge_gateway.database import _VERSIONS, Database
from edge_gateway.jobs import news as module
from edge_gateway.jobs.job import Change, Job, JobOptions, JobState, Notice, Progress, Severity, Stage
from edge_gateway.jobs.news import Follower, JobDeleted, News, NewsItem, Skipped
from edge_gateway.jobs.numbers import note_deleted
from edge_gateway.jobs.sqlite import SqliteJobs
from edge_gateway.jobs.sqlite_news import SqliteNews
from shared.errors import EdgeUnavailableError, ResourceExhaustedError

ASSET = "0" * 64


def name(number: int) -> str:
    return f"job-{number:020x}"


class World:
    """Jobs in a database, and their news."""

    def __init__(self, database: Database, followers: int = 3) -> None:
        self.database = database
        self.jobs = SqliteJobs(database)
        self.news = News(SqliteNews(database), followers=followers)
        self.jobs.on_news = self.news.stir

    async def add(self, number: int) -> str:
        await self.database.run(
            lambda c: c.execute(
                "INSERT OR IGNORE INTO assets (asset_id, size_bytes, display_name, created_us, digests, ready)"
                " VALUES (?, 1, 'a', 1, x'', 1)",
                (ASSET,),
            )
        )
        job = Job(
            job_id=name(number),
            state=JobState.QUEUED,
            video_asset_id=ASSET,
            speech_asset_id=ASSET,
            options=JobOptions(),
            created_us=1,
            updated_us=1,
        )
        await self.jobs.add(job, "", 99)
        return job.job_id

    async def progress(self, number: int, count: int, first: int = 0) -> None:
        for frames in range(first, first + count):
            await self.jobs.record(name(number), [Progress(stage=Stage.INFER, done_frames=frames)])

    async def end(self, number: int) -> None:
        await self.jobs.record(name(number), [], Change(state=JobState.CANCELLED))

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.news.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def next_of(follower: Follower) -> list[NewsItem | Skipped]:
    """What is told next, waited for."""
    async with asyncio.timeout(5):
        while True:
            follower.news.clear()
            items = await follower.read()
            if items:
                return items
            await follower.news.wait()


async def until(follower: Follower, number: int) -> list[NewsItem | Skipped]:
    told: list[NewsItem | Skipped] = []
    while follower.after < number:
        told += await next_of(follower)
    return told


def numbers(items: list[NewsItem | Skipped]) -> list[int]:
    return [item.number for item in items if not isinstance(item, Skipped)]


async def test_whoever_begins_now_is_told_what_comes_of_all_jobs_in_one_row(world: World) -> None:
    await world.add(1)
    async with world.telling(), world.news.follow(None, None) as follower:
        assert (follower.after, follower.resumed) == (1, False)
        assert await follower.read() == []
        await world.add(2)
        await world.progress(1, 1)
        await world.end(2)
        told = await until(follower, 4)
    assert [item.job_id for item in told] == [name(2), name(1), name(2)]
    assert numbers(told) == [2, 3, 4]


async def test_a_cut_follower_goes_on_without_gap_or_doubling_wherever_it_was_cut(world: World) -> None:
    async with world.telling():
        for number in (1, 2):
            await world.add(number)
        await world.progress(1, 5)
        await world.progress(2, 5)
        for after in range(13):
            async with world.news.follow(None, after) as follower:
                assert follower.resumed
                told = await until(follower, 12)
            assert numbers(told) == list(range(after + 1, 13))


async def test_a_replay_longer_than_memory_comes_from_the_log_and_goes_over_into_live(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TAIL", 4)
    monkeypatch.setattr(module, "_BATCH", 5)
    async with world.telling(), world.news.follow(None, 0) as follower:
        await world.add(1)
        await world.progress(1, 30)
        told = await until(follower, 20)
        await world.progress(1, 10)
        told += await until(follower, 41)
    assert numbers(told) == list(range(1, 42))


async def test_only_the_jobs_that_are_named_are_told_of(world: World) -> None:
    async with world.telling():
        for number in (1, 2, 3):
            await world.add(number)
        async with world.news.follow({name(2)}, 0) as replayed, world.news.follow({name(3)}, None) as live:
            assert numbers(await next_of(replayed)) == [2]
            await world.progress(1, 3)
            await world.progress(3, 1)
            assert numbers(await next_of(live)) == [7]


async def test_a_slow_follower_is_told_the_newest_progress_every_change_and_how_much_it_missed(world: World) -> None:
    async with (
        world.telling(),
        world.news.follow(None, None) as follower,
        world.news.follow(None, None) as keen,
    ):
        assert await follower.read() == []
        await world.add(1)
        await world.progress(1, 100)
        await world.jobs.record(name(1), [Notice(severity=Severity.INFO, reason="x", message="x")])
        await world.end(1)
        await until(keen, 103)
        told = await until(follower, 103)
        assert told[0] == Skipped(job_id=name(1), progress_events=99)
        assert numbers(told) == [1, 101, 102, 103]
        await world.add(2)
        assert numbers(await next_of(follower)) == [104]  # it has caught up


async def test_a_deleted_job_is_told_of_also_to_whoever_was_away(world: World) -> None:
    async with world.telling(), world.news.follow(None, None) as follower:
        await world.add(1)
        await world.end(1)
        await world.jobs.remove(name(1))
        told = await until(follower, 3)
        assert isinstance(told[-1], JobDeleted)
        async with world.news.follow({name(1)}, 1) as again:
            assert [item.job_id for item in await until(again, 3)][-1] == name(1)


async def test_who_was_away_for_too_long_begins_anew_and_knows_it(
    world: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_gateway.jobs.numbers.DELETED_KEPT", 2)
    monkeypatch.setattr("edge_gateway.jobs.sqlite_news.DELETED_KEPT", 2)
    for number in range(4):
        await database.run(lambda c, number=number: note_deleted(c, name(number), 1))
    for after, resumed in ((0, False), (1, False), (2, True), (4, True), (5, False)):
        async with world.news.follow(None, after) as follower:
            assert (follower.resumed, follower.after) == (resumed, after if resumed else 4)


async def test_numbers_go_on_after_a_restart_and_are_never_used_twice(world: World, database: Database) -> None:
    await world.add(1)
    await world.end(1)
    await world.jobs.remove(name(1))
    again = World(database)
    async with again.telling(), again.news.follow(None, None) as follower:
        assert follower.after == 3
        await again.add(2)
        assert numbers(await next_of(follower)) == [4]


async def test_streams_are_bounded_and_a_closed_one_makes_room(world: World) -> None:
    async with world.news.follow(None, None), world.news.follow(None, None):
        async with world.news.follow(None, None):
            with pytest.raises(ResourceExhaustedError) as refused:
                async with world.news.follow(None, None):
                    pass
            assert refused.value.limit == "event_streams"
        async with world.news.follow(None, None):
            pass


async def test_the_end_of_the_edge_ends_every_stream(world: World) -> None:
    async with world.telling(), world.news.follow(None, None) as follower:
        follower.news.clear()
        world.news.close()
        await follower.news.wait()
        with pytest.raises(EdgeUnavailableError):
            await follower.read()


async def test_a_database_of_before_gets_its_events_numbered_in_the_order_of_their_time(tmp_path: Path) -> None:
    path = tmp_path / "edge.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript("".join(_VERSIONS[:7]) + "PRAGMA user_version = 7;")
        for number in (1, 2):
            old.execute(
                "INSERT INTO jobs (job_id, state, video_asset_id, speech_asset_id, fit, keep_length, engine,"
                " created_us, updated_us, last_sequence) VALUES (?, 'queued', ?, ?, 'bounce', 0, '', ?, 1, 2)",
                (name(number), ASSET, ASSET, number),
            )
            for sequence in (1, 2):
                values = (name(number), sequence, 10 * sequence + number, "state", '{"state": "queued"}')
                old.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", values)
        old.commit()
    async with Database.open(path) as database:
        items = await SqliteNews(database).since(0, 99, None)
        assert [(item.number, item.job_id) for item in items] == [
            (1, name(1)),
            (2, name(2)),
            (3, name(1)),
            (4, name(2)),
        ]
        assert await SqliteNews(database).newest() == 4
        used = await database.run(lambda c: [tuple(row) for row in c.execute("SELECT * FROM used_videos")])
        assert used == [(ASSET, 2, 2, 2)]
