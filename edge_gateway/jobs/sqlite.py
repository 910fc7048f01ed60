"""Jobs and their events in the edge's database."""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from edge_gateway.assets.asset import is_named
from edge_gateway.database import Database
from edge_gateway.face.speaker import Speaker, Voice
from edge_gateway.jobs.job import (
    Change,
    Event,
    EventBody,
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
    check_change,
)
from shared.errors import ConflictError, MissingChunksError, NotFoundError, QueueFullError
from shared.media.timeline import FitMode


class SqliteJobs:
    """The job repository and the event log of one edge.

    Args:
        database: Where they stand.
        clock_us: Microseconds since 1970.
    """

    def __init__(self, database: Database, clock_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._database = database
        self._clock_us = clock_us

    async def add(self, job: Job, key: str, queue_limit: int) -> tuple[Job, bool]:
        """See :class:`edge_gateway.jobs.repository.JobRepository`."""

        def work(connection: sqlite3.Connection) -> tuple[Job, bool]:
            if key:
                row = connection.execute("SELECT * FROM jobs WHERE idempotency_key = ?", (key,)).fetchone()
                if row is not None:
                    return _same(_job(row), job), False
            for name, asset_id in job.assets:
                _need_named(connection, asset_id, name)
            _need_room(connection, queue_limit)
            number = connection.execute(
                "INSERT INTO jobs (job_id, idempotency_key, state, video_asset_id, speech_asset_id, fit, keep_length,"
                " engine, speakers, created_us, updated_us, background_asset_id, keep_sound, background_volume,"
                " last_sequence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    job.job_id,
                    key or None,
                    job.state.value,
                    job.video_asset_id,
                    job.speech_asset_id,
                    job.options.fit.value,
                    job.options.keep_length,
                    job.options.engine,
                    _speakers_row(job.options),
                    job.created_us,
                    job.updated_us,
                    job.background_asset_id,
                    job.options.keep_sound,
                    job.options.background_volume,
                ),
            ).lastrowid
            _append(connection, job.job_id, 0, job.created_us, [StateChanged(state=job.state)])
            return replace(job, number=number or 0, last_sequence=1), True

        return await self._database.run(work)

    async def find(self, job_id: str) -> Job | None:
        """See :class:`edge_gateway.jobs.repository.JobRepository`."""

        def work(connection: sqlite3.Connection) -> Job | None:
            row = connection.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
            return None if row is None else _job(row)

        return await self._database.run(work)

    async def page(self, *, count: int, before: int | None) -> list[Job]:
        """See :class:`edge_gateway.jobs.repository.JobRepository`."""

        def work(connection: sqlite3.Connection) -> list[Job]:
            rows = connection.execute(
                "SELECT * FROM jobs WHERE (:before IS NULL OR number < :before) ORDER BY number DESC LIMIT :count",
                {"before": before, "count": count},
            )
            return [_job(row) for row in rows]

        return await self._database.run(work)

    async def in_states(self, states: Sequence[JobState]) -> list[Job]:
        """See :class:`edge_gateway.jobs.repository.JobRepository`."""

        def work(connection: sqlite3.Connection) -> list[Job]:
            wanted = json.dumps([state.value for state in states])
            rows = connection.execute(
                "SELECT * FROM jobs WHERE state IN (SELECT value FROM json_each(?)) ORDER BY number", (wanted,)
            )
            return [_job(row) for row in rows]

        return await self._database.run(work)

    async def counts(self) -> dict[JobState, int]:
        """How many jobs stand where."""

        def work(connection: sqlite3.Connection) -> dict[JobState, int]:
            return {
                JobState(row[0]): row[1]
                for row in connection.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state")
            }

        return await self._database.run(work)

    async def remove(self, job_id: str) -> Job | None:
        """See :class:`edge_gateway.jobs.repository.JobRepository`."""

        def work(connection: sqlite3.Connection) -> Job | None:
            row = connection.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
            if row is None:
                return None
            job = _job(row)
            if not job.state.is_final:
                raise ConflictError(f"the job is {job.state.value}; cancel it first", field="job_id")
            connection.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))
            shared = connection.execute(
                "SELECT 1 FROM jobs"
                " WHERE :result IN (result_asset_id, video_asset_id, speech_asset_id, background_asset_id)"
                " OR instr(speakers, :result)",
                {"result": job.result_asset_id},
            ).fetchone()
            # Another job has made the same video, or works with it: it stays.
            return replace(job, result_asset_id="") if shared else job

        return await self._database.run(work)

    async def record(
        self, job_id: str, bodies: Sequence[EventBody], change: Change | None = None
    ) -> tuple[Job, list[Event]]:
        """See :class:`edge_gateway.jobs.repository.EventLog`."""

        def work(connection: sqlite3.Connection) -> tuple[Job, list[Event]]:
            row = connection.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
            if row is None:
                raise NotFoundError("this edge has no such job", field="job_id")
            job = _job(row)
            now = self._clock_us()
            news = list(bodies)
            if job.state.is_final and change is None:
                raise ConflictError(f"the job is {job.state.value}; nothing more happens to it", field="job_id")
            if change is not None:
                check_change(job.state, change.state)
                news.append(StateChanged(state=change.state))
                job = _changed(connection, job, change, now)
            events = _append(connection, job_id, job.last_sequence, now, news)
            return replace(job, last_sequence=job.last_sequence + len(events)), events

        return await self._database.run(work)

    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        """See :class:`edge_gateway.jobs.repository.EventLog`."""

        def work(connection: sqlite3.Connection) -> list[Event]:
            if connection.execute("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,)).fetchone() is None:
                raise NotFoundError("this edge has no such job", field="job_id")
            rows = connection.execute(
                "SELECT * FROM events WHERE job_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                (job_id, min(after, 2**62), limit),
            )
            return [_event(row) for row in rows]

        return await self._database.run(work)

    async def last(self, job_id: str) -> Event:
        """See :class:`edge_gateway.jobs.repository.EventLog`."""

        def work(connection: sqlite3.Connection) -> Event:
            row = connection.execute(
                "SELECT * FROM events WHERE job_id = ? ORDER BY sequence DESC LIMIT 1", (job_id,)
            ).fetchone()
            if row is None:
                raise NotFoundError("this edge has no such job", field="job_id")
            return _event(row)

        return await self._database.run(work)


def _same(known: Job, asked: Job) -> Job:
    if (known.assets, known.options) != (asked.assets, asked.options):
        message = "this key belongs to a job with other files or options; choose another"
        raise ConflictError(message, field="idempotency_key")
    return known


def _need_named(connection: sqlite3.Connection, asset_id: str, name: str) -> None:
    row = connection.execute(
        "SELECT asset_id, size_bytes, digests, ready FROM assets WHERE asset_id = ?", (asset_id,)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"this edge has no such asset; upload the {name} first", field=name)
    if not row["ready"] and not is_named(row["asset_id"], row["size_bytes"], row["digests"]):
        # Its name is one that lasts until its client knows the file to the end.
        raise MissingChunksError(f"the upload of the {name} has no id yet; announce all its digests", field=name)


def _need_room(connection: sqlite3.Connection, queue_limit: int) -> None:
    waiting = "SELECT COUNT(*) FROM jobs WHERE state = ?"
    if connection.execute(waiting, (JobState.QUEUED.value,)).fetchone()[0] >= queue_limit:
        message = f"{queue_limit} jobs wait already; try again later"
        raise QueueFullError(message, limit="queue_limit", retry_after_s=10)


def _changed(connection: sqlite3.Connection, job: Job, change: Change, now_us: int) -> Job:
    connection.execute(
        "UPDATE jobs SET state = ?, updated_us = ?, result_asset_id = ?, error = ?, report = ? WHERE job_id = ?",
        (
            change.state.value,
            now_us,
            change.result_asset_id,
            None if change.error is None else json.dumps(asdict(change.error)),
            None if change.report is None else json.dumps(_report_row(change.report)),
            job.job_id,
        ),
    )
    return replace(
        job,
        state=change.state,
        updated_us=now_us,
        result_asset_id=change.result_asset_id,
        error=change.error,
        report=change.report,
    )


def _append(
    connection: sqlite3.Connection, job_id: str, last: int, now_us: int, bodies: Sequence[EventBody]
) -> list[Event]:
    events = [
        Event(job_id=job_id, sequence=last + place, time_us=now_us, body=body) for place, body in enumerate(bodies, 1)
    ]
    rows = [(event.job_id, event.sequence, event.time_us, *_body_row(event.body)) for event in events]
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
    connection.execute("UPDATE jobs SET last_sequence = ? WHERE job_id = ?", (last + len(events), job_id))
    return events


def _body_row(body: EventBody) -> tuple[str, str]:
    match body:
        case StateChanged():
            return "state", json.dumps({"state": body.state.value})
        case Progress():
            return "progress", json.dumps(asdict(body) | {"stage": body.stage.value})
        case Notice():
            return "notice", json.dumps(asdict(body) | {"severity": body.severity.value})


def _event(row: sqlite3.Row) -> Event:
    told: dict[str, Any] = json.loads(row["body"])
    body: EventBody
    if row["kind"] == "state":
        body = StateChanged(state=JobState(told["state"]))
    elif row["kind"] == "progress":
        body = Progress(**told | {"stage": Stage(told["stage"])})
    else:
        body = Notice(**told | {"severity": Severity(told["severity"])})
    return Event(job_id=row["job_id"], sequence=row["sequence"], time_us=row["time_us"], body=body)


def _report_row(report: JobReport) -> dict[str, Any]:
    return asdict(report) | {
        "stages": {stage.value: seconds for stage, seconds in report.stages.items()},
        "unscored": report.unscored and report.unscored.value,
        "untouched": [asdict(stretch) | {"reason": stretch.reason.value} for stretch in report.untouched],
    }


def _report(told: dict[str, Any]) -> JobReport:
    sync, unscored = told.get("sync"), told.get("unscored")
    untouched = (
        Stretch(**stretch | {"reason": UntouchedReason(stretch["reason"])}) for stretch in told.get("untouched", ())
    )
    read = {
        "stages": {Stage(name): seconds for name, seconds in told["stages"].items()},
        "sync": None if sync is None else SyncScore(**sync),
        "unscored": None if unscored is None else Unscored(unscored),
        "untouched": tuple(untouched),
    }
    return JobReport(**told | read)


def _speakers_row(options: JobOptions) -> str:
    if options.speaker.is_default and not options.voices:
        return ""
    return json.dumps(
        {
            "speaker": options.speaker.to_json(),
            "name": options.speaker_name,
            "voices": [voice.to_json() for voice in options.voices],
        }
    )


def _options(row: sqlite3.Row) -> JobOptions:
    options = JobOptions(
        fit=FitMode(row["fit"]),
        keep_length=bool(row["keep_length"]),
        engine=row["engine"],
        keep_sound=bool(row["keep_sound"]),
        background_volume=row["background_volume"],
    )
    if not row["speakers"]:
        return options
    told = json.loads(row["speakers"])
    return replace(
        options,
        speaker=Speaker.of(told["speaker"]),
        speaker_name=told["name"],
        voices=tuple(Voice.of(voice) for voice in told["voices"]),
    )


def _job(row: sqlite3.Row) -> Job:
    return Job(
        number=row["number"],
        job_id=row["job_id"],
        state=JobState(row["state"]),
        video_asset_id=row["video_asset_id"],
        speech_asset_id=row["speech_asset_id"],
        background_asset_id=row["background_asset_id"],
        options=_options(row),
        created_us=row["created_us"],
        updated_us=row["updated_us"],
        result_asset_id=row["result_asset_id"],
        error=None if row["error"] is None else JobError(**json.loads(row["error"])),
        report=None if row["report"] is None else _report(json.loads(row["report"])),
        last_sequence=row["last_sequence"],
    )
