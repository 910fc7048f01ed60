"""Jobs found by what their files are called, by their id, and by where they stand; and what lists show beside them."""

import sqlite3
from dataclasses import replace

import pytest

from edge_gateway.assets.stream import NewStream
from edge_gateway.assets.stream_catalog import StreamCatalog
from edge_gateway.database import Database
from edge_gateway.jobs.cards import Cards
from edge_gateway.jobs.gallery import Gallery
from edge_gateway.jobs.job import (
    Change,
    Job,
    JobOptions,
    JobReport,
    JobState,
    Progress,
    Stage,
    Which,
    check_which,
)
from edge_gateway.jobs.pace import Pace
from edge_gateway.jobs.sqlite import SqliteJobs
from shared.errors import LimitExceededError

ANNA, BERT, SPEECH = (letter * 64 for letter in "abc")
NAMES = {ANNA: "Anna ÜBT 好.mp4", BERT: "bert_100%.mov", SPEECH: "Guten Tag.wav"}


def name(number: int) -> str:
    return f"job-{number:020x}"


def add_assets(connection: sqlite3.Connection) -> None:
    for asset_id, display_name in NAMES.items():
        connection.execute(
            "INSERT INTO assets (asset_id, size_bytes, display_name, kind, created_us, digests, ready)"
            " VALUES (?, 1, ?, 'video', 1, x'', 1)",
            (asset_id, display_name),
        )


@pytest.fixture
async def jobs(database: Database) -> SqliteJobs:
    """Three jobs: one with Anna, one with Bert that was cancelled, one that waits for an upload."""
    await database.run(add_assets)
    stream = await StreamCatalog(database).open(NewStream(size_bytes=9, display_name="Später.mp4"), 1, 9)
    repository = SqliteJobs(database, clock_us=lambda: 5)
    for number, video in enumerate((ANNA, BERT, f"upload:{stream.upload_id}"), 1):
        job = Job(
            job_id=name(number),
            state=JobState.QUEUED,
            video_asset_id=video,
            speech_asset_id=SPEECH,
            options=JobOptions(),
            created_us=number,
            updated_us=number,
        )
        await repository.add(job, "", 9)
    await repository.record(name(2), [], Change(state=JobState.CANCELLED))
    return repository


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [3, 2, 1]),
        ("anna", [1]),
        ("übt", [1]),
        ("好", [1]),
        ("100%", [2]),
        ("guten tag", [3, 2, 1]),
        ("SPÄTER", [3]),
        ("JOB-0000000000000000000", [3, 2, 1]),
        (name(2), [2]),
        ("' OR 1 --", []),
        ("%", [2]),
        ("\x00", []),
    ],
)
async def test_jobs_are_found_by_a_part_of_a_name_however_written(
    jobs: SqliteJobs, query: str, found: list[int]
) -> None:
    page = await jobs.page(count=9, before=None, which=Which(query=query))
    assert [job.number for job in page] == found


async def test_jobs_are_found_by_where_they_stand_page_by_page(jobs: SqliteJobs) -> None:
    queued = Which(states=frozenset({JobState.QUEUED}))
    assert [job.number for job in await jobs.page(count=1, before=None, which=queued)] == [3]
    assert [job.number for job in await jobs.page(count=9, before=3, which=queued)] == [1]
    both = replace(queued, query="anna")
    assert [job.number for job in await jobs.page(count=9, before=None, which=both)] == [1]


def test_what_is_looked_for_is_bounded() -> None:
    with pytest.raises(LimitExceededError) as refused:
        check_which(Which(query="x" * 201))
    assert (refused.value.field, refused.value.limit) == ("query", "query")


async def test_lists_show_how_files_are_called_and_the_newest_progress_of_what_runs(
    jobs: SqliteJobs, database: Database
) -> None:
    for frames in (1, 7, 5):
        await jobs.record(name(1), [Progress(stage=Stage.PREPARE, done_frames=frames), Progress(stage=Stage.INFER)])
    anna, bert, later = await Cards(database).of((await jobs.page(count=9, before=None))[::-1])
    assert anna.names == {ANNA: NAMES[ANNA], SPEECH: NAMES[SPEECH]}
    assert anna.progress[Stage.PREPARE].done_frames == 5  # the newest, not the furthest
    assert anna.progress.keys() == {Stage.PREPARE, Stage.INFER}
    assert (bert.progress, later.progress) == ({}, {})
    assert later.names[later.job.video_asset_id] == "Später.mp4"
    await database.run(lambda c: c.execute("DELETE FROM assets WHERE asset_id = ?", (BERT,)))
    (gone,) = await Cards(database).of([bert.job])
    assert gone.names[BERT] == ""


async def test_faces_are_what_jobs_used_the_last_first_also_when_those_jobs_are_gone(
    jobs: SqliteJobs, database: Database
) -> None:
    gallery = Gallery(database)
    assert [used.asset.asset_id for used in (await gallery.page(9, ""))[0]] == [BERT, ANNA]
    waiting = (await jobs.page(count=1, before=None))[0]
    await jobs.replace_upload(waiting.video_asset_id.removeprefix("upload:"), ANNA)
    assert (await jobs.find(name(3)) or waiting).video_asset_id == ANNA
    await jobs.remove(name(2))
    first, token = await gallery.page(1, "")
    assert [(used.asset.asset_id, used.jobs, used.used_us) for used in first] == [(ANNA, 2, 3)]
    second, token = await gallery.page(1, token)
    assert [(used.asset.asset_id, used.jobs) for used in second] == [(BERT, 1)]
    assert token == ""


async def test_the_pace_is_that_of_jobs_that_succeeded_without_their_waiting(jobs: SqliteJobs) -> None:
    assert await Pace(jobs).frames_s() is None
    report = JobReport(
        frames=100,
        frame_rate=25,
        segments=1,
        stages={Stage.WAIT: 15.0},
        total_s=20.0,
        up_bytes=1,
        down_bytes=1,
        engine="x",
        untouched_frames=0,
    )
    for state in (JobState.PREPARING, JobState.RENDERING, JobState.FINISHING):
        await jobs.record(name(1), [], Change(state=state))
    await jobs.record(name(1), [], Change(state=JobState.SUCCEEDED, result_asset_id=BERT, report=report))
    assert await Pace(jobs).frames_s() == 20.0
