import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge_gateway.assets.asset import AssetKind, Manifest
from edge_gateway.assets.catalog import Catalog
from edge_gateway.database import Database
from edge_gateway.face.speaker import Place, Position, Speaker, Voice
from edge_gateway.jobs.job import (
    Change,
    Job,
    JobError,
    JobOptions,
    JobReport,
    JobState,
    Notice,
    Progress,
    Severity,
    Stage,
    StateChanged,
    Stretch,
    SyncScore,
    Unscored,
    UntouchedReason,
)
from edge_gateway.jobs.sqlite import SqliteJobs
from shared.errors import ConflictError, MissingChunksError, NotFoundError, QueueFullError
from shared.media.probe import MediaInfo, MediaKind
from shared.media.timeline import FitMode

PROGRESS = Progress(stage=Stage.INFER, done_frames=3, total_frames=9)


async def ready_asset(catalog: Catalog, name: str) -> str:
    manifest = Manifest(size_bytes=1, digests=(name.encode().ljust(32),), display_name=name)
    asset = await catalog.announce(manifest, 1)
    media = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=2.0, audio_codec="aac")
    await catalog.complete(asset.asset_id, AssetKind.VIDEO, media)
    return asset.asset_id


@pytest.fixture
async def job(catalog: Catalog) -> Job:
    return Job(
        job_id="job-" + "0" * 20,
        state=JobState.QUEUED,
        video_asset_id=await ready_asset(catalog, "video"),
        speech_asset_id=await ready_asset(catalog, "speech"),
        options=JobOptions(fit=FitMode.LOOP, keep_length=True, engine="warp"),
        created_us=5,
        updated_us=5,
        trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


@pytest.fixture
def jobs(database: Database) -> SqliteJobs:
    return SqliteJobs(database, clock_us=lambda: 7)


async def test_the_queue_is_as_old_as_its_oldest_job(database: Database, job: Job) -> None:
    late = SqliteJobs(database, clock_us=lambda: 9_000_005)
    assert await late.queue_age_s() == 0
    await late.add(job, "", 9)
    await late.add(replace(job, job_id="job-" + "1" * 20, updated_us=7_000_000), "", 9)
    assert await late.queue_age_s() == pytest.approx(9.0)
    await late.record(job.job_id, [], Change(state=JobState.CANCELLED))
    assert await late.queue_age_s() == pytest.approx(2.000005)


async def test_a_job_comes_back_as_it_was_with_its_first_event(jobs: SqliteJobs, job: Job) -> None:
    kept, is_new = await jobs.add(job, "", 9)
    assert is_new
    assert kept == replace(job, number=kept.number, last_sequence=1)
    assert await jobs.find(job.job_id) == kept
    (first,) = await jobs.events(job.job_id, 0, 10)
    assert first.sequence == 1
    assert first.body == StateChanged(state=JobState.QUEUED)


async def test_who_speaks_comes_back_as_it_was_and_every_speech_stays(
    jobs: SqliteJobs, job: Job, catalog: Catalog
) -> None:
    second = await ready_asset(catalog, "second speech")
    point = Speaker(places=(Place(time_us=1_200_000, x=0.25, y=0.5),))
    options = JobOptions(
        speaker=Speaker(position=Position.LEFT),
        speaker_name="left",
        voices=(Voice(name="anna", speech=second, speaker=point),),
    )
    kept, _ = await jobs.add(replace(job, options=options), "", 9)
    assert kept.options == options
    assert await jobs.find(job.job_id) == kept
    assert kept.speeches == (job.speech_asset_id, second)
    with pytest.raises(ConflictError, match="still needs this asset"):
        await catalog.remove(second)


async def test_a_further_speech_must_be_there(jobs: SqliteJobs, job: Job) -> None:
    voice = Voice(name="anna", speech="f" * 64, speaker=Speaker(position=Position.LEFT))
    with pytest.raises(NotFoundError):
        await jobs.add(replace(job, options=JobOptions(voices=(voice,))), "", 9)


async def test_the_same_key_gives_the_same_job_and_refuses_another_wish(jobs: SqliteJobs, job: Job) -> None:
    kept, _ = await jobs.add(job, "key", 9)
    again, is_new = await jobs.add(replace(job, job_id="job-" + "1" * 20, trace="another call's"), "key", 9)
    assert (again, is_new) == (kept, False)
    with pytest.raises(ConflictError) as caught:
        await jobs.add(replace(job, options=JobOptions()), "key", 9)
    assert caught.value.field == "idempotency_key"


async def test_a_background_belongs_to_a_job_as_its_other_files_do(
    jobs: SqliteJobs, catalog: Catalog, job: Job
) -> None:
    options = replace(job.options, keep_sound=False, background_volume=0.5)
    music = await ready_asset(catalog, "music")
    under = replace(job, background_asset_id=music, options=options)
    kept, _ = await jobs.add(under, "key", 9)
    assert await jobs.find(job.job_id) == kept
    assert (kept.background_asset_id, kept.options) == (music, options)
    with pytest.raises(ConflictError):
        await jobs.add(replace(job, job_id="job-" + "1" * 20), "key", 9)
    with pytest.raises(ConflictError) as needed:
        await catalog.remove(music)
    assert needed.value.field == "asset_id"
    with pytest.raises(NotFoundError) as missing:
        await jobs.add(replace(under, background_asset_id="f" * 64), "", 9)
    assert missing.value.field == "background"


async def test_a_full_queue_refuses_a_new_job_but_answers_a_key_that_it_knows(jobs: SqliteJobs, job: Job) -> None:
    kept, _ = await jobs.add(job, "key", 1)
    other = replace(job, job_id="job-" + "1" * 20)
    with pytest.raises(QueueFullError) as caught:
        await jobs.add(other, "another key", 1)
    assert caught.value.limit == "queue_limit"
    assert await jobs.add(other, "key", 1) == (kept, False)
    await jobs.record(job.job_id, [], Change(state=JobState.PREPARING))
    assert (await jobs.add(other, "another key", 1))[1]


async def test_the_newest_event_is_known(jobs: SqliteJobs, job: Job) -> None:
    await jobs.add(job, "", 9)
    await jobs.record(job.job_id, [PROGRESS])
    assert (await jobs.last(job.job_id)).body == PROGRESS
    with pytest.raises(NotFoundError):
        await jobs.last("job-" + "1" * 20)


async def test_assets_must_be_there_and_have_their_id(jobs: SqliteJobs, catalog: Catalog, job: Job) -> None:
    with pytest.raises(NotFoundError) as missing:
        await jobs.add(replace(job, speech_asset_id="f" * 64), "", 9)
    assert missing.value.field == "speech"
    ends = (b"p" * 32, b"p" * 32)
    nameless = await catalog.announce(Manifest(size_bytes=1, digests=(), display_name="p", ends=ends), 1)
    with pytest.raises(MissingChunksError) as unfinished:
        await jobs.add(replace(job, video_asset_id=nameless.asset_id), "", 9)
    assert unfinished.value.field == "video"
    partial = await catalog.announce(Manifest(size_bytes=1, digests=(b"p" * 32,), display_name="p"), 1)
    assert (await jobs.add(replace(job, video_asset_id=partial.asset_id), "", 9))[1]


async def test_events_are_gapless_under_concurrency(jobs: SqliteJobs, job: Job) -> None:
    await jobs.add(job, "", 9)
    notice = Notice(severity=Severity.WARNING, reason="r", message="m")
    await asyncio.gather(*(jobs.record(job.job_id, [PROGRESS, notice]) for _ in range(50)))
    events = await jobs.events(job.job_id, 0, 1000)
    assert [event.sequence for event in events] == list(range(1, 102))
    assert {type(event.body) for event in events} == {StateChanged, Progress, Notice}
    assert [event.sequence for event in await jobs.events(job.job_id, 97, 3)] == [98, 99, 100]
    found = await jobs.find(job.job_id)
    assert found is not None
    assert found.last_sequence == 101


async def test_state_error_and_report_survive(jobs: SqliteJobs, job: Job) -> None:
    await jobs.add(job, "", 9)
    error = JobError(reason="no_face", field="video", message="none")
    failed, events = await jobs.record(job.job_id, [], Change(state=JobState.FAILED, error=error))
    assert (failed.state, failed.error, failed.updated_us) == (JobState.FAILED, error, 7)
    assert [event.body for event in events] == [StateChanged(state=JobState.FAILED)]
    other = replace(job, job_id="job-" + "1" * 20)
    await jobs.add(other, "", 9)
    report = JobReport(
        frames=3,
        frame_rate=25.0,
        segments=1,
        stages={Stage.INFER: 1.5},
        total_s=2.0,
        up_bytes=1,
        down_bytes=2,
        engine="warp",
        untouched_frames=3,
        sync=SyncScore(score=88, lag_ms=None, correlation=0.5, amplitude=1.0),
        unscored=Unscored.TOO_SHORT,
        untouched=(Stretch(start_us=0, end_us=120_000, reason=UntouchedReason.TURNED_AWAY),),
        untouched_left_out=2,
    )
    for state in (JobState.PREPARING, JobState.RENDERING, JobState.FINISHING):
        await jobs.record(other.job_id, [], Change(state=state))
    await jobs.record(other.job_id, [], Change(state=JobState.SUCCEEDED, report=report, result_asset_id="r"))
    found = await jobs.find(other.job_id)
    assert found is not None
    assert (found.report, found.result_asset_id) == (report, "r")
    assert await jobs.counts() == {JobState.FAILED: 1, JobState.SUCCEEDED: 1}


async def test_a_report_from_before_there_were_scores_is_read(jobs: SqliteJobs, database: Database, job: Job) -> None:
    await jobs.add(job, "", 9)
    old = {"frames": 3, "frame_rate": 25.0, "segments": 1, "stages": {"infer": 1.5}, "total_s": 2.0, "up_bytes": 1}
    old |= {"down_bytes": 2, "engine": "warp", "untouched_frames": 0}
    told = ("UPDATE jobs SET report = ?", (json.dumps(old),))
    await database.run(lambda connection: connection.execute(*told).rowcount)
    found = await jobs.find(job.job_id)
    assert found is not None
    assert found.report is not None
    assert (found.report.sync, found.report.unscored, found.report.untouched) == (None, None, ())


async def test_nothing_happens_after_the_end(jobs: SqliteJobs, job: Job) -> None:
    await jobs.add(job, "", 9)
    await jobs.record(job.job_id, [], Change(state=JobState.CANCELLED))
    for change in (None, Change(state=JobState.PREPARING)):
        with pytest.raises(ConflictError):
            await jobs.record(job.job_id, [PROGRESS], change)
    assert len(await jobs.events(job.job_id, 0, 10)) == 2


async def test_only_finished_jobs_are_removed_and_their_events_with_them(jobs: SqliteJobs, job: Job) -> None:
    await jobs.add(job, "", 9)
    with pytest.raises(ConflictError):
        await jobs.remove(job.job_id)
    await jobs.record(job.job_id, [], Change(state=JobState.CANCELLED))
    assert await jobs.remove(job.job_id) is not None
    assert await jobs.remove(job.job_id) is None
    with pytest.raises(NotFoundError):
        await jobs.events(job.job_id, 0, 10)


async def test_an_asset_that_an_unfinished_job_needs_stays(jobs: SqliteJobs, catalog: Catalog, job: Job) -> None:
    await jobs.add(job, "", 9)
    with pytest.raises(ConflictError, match=job.job_id):
        await catalog.remove(job.video_asset_id)
    await jobs.record(job.job_id, [], Change(state=JobState.CANCELLED))
    assert await catalog.remove(job.video_asset_id)


WRITER = """
import asyncio, sys
from pathlib import Path
from edge_gateway.database import Database
from edge_gateway.jobs.job import Progress, Stage
from edge_gateway.jobs.sqlite import SqliteJobs

async def main():
    async with Database.open(Path(sys.argv[1])) as database:
        jobs = SqliteJobs(database)
        while True:
            _, events = await jobs.record(sys.argv[2], [Progress(stage=Stage.INFER)] * 3)
            print(events[-1].sequence, flush=True)

asyncio.run(main())
"""


async def test_what_was_told_before_a_kill_is_there_after_it_without_gaps(
    jobs: SqliteJobs, job: Job, tmp_path: Path
) -> None:
    await jobs.add(job, "", 9)
    root = Path(__file__).resolve().parents[4]
    with subprocess.Popen(  # noqa: ASYNC220 - the test has nothing else to do meanwhile
        [sys.executable, "-c", WRITER, str(tmp_path / "edge.db"), job.job_id],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    events = await jobs.events(job.job_id, 0, 100_000)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert len(events) >= told[-1]
    assert (len(events) - 1) % 3 == 0
