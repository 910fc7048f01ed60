"""Jobs and their events in the edge's database."""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final, TypeVar

from edge_gateway.assets.asset import is_named
from edge_gateway.assets.stream import SCHEME, is_upload_name
from edge_gateway.database import Database
from edge_gateway.face.speaker import Speaker, Voice
from edge_gateway.jobs.gallery import note_used
from edge_gateway.jobs.job import (
    ALL_JOBS,
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
    Which,
    check_change,
)
from edge_gateway.jobs.numbers import note_deleted, take_numbers
from edge_gateway.jobs.sqlite_uploads import need_upload, replace_upload, settled
from shared.errors import ConflictError, MissingChunksError, NotFoundError, QueueFullError
from shared.media.timeline import FitMode

T = TypeVar("T")

_STANDS: Final = " AND state IN (SELECT value FROM json_each(:states))"
_NAMES: Final = (
    # Names are looked through once, whatever the number of jobs.
    "WITH named AS MATERIALIZED (SELECT asset_id FROM assets WHERE instr(folded(display_name), :query)"
    " UNION ALL SELECT :upload || upload_id FROM streams WHERE instr(folded(display_name), :query)) "
)
_NAMED: Final = (
    " AND (instr(job_id, :query) OR video_asset_id IN named OR speech_asset_id IN named"
    " OR background_asset_id IN named OR result_asset_id IN named)"
)


class SqliteJobs:
    """The job repository and the event log of one edge.

    Args:
        database: Where they stand.
        clock_us: Microseconds since 1970.
        with_end: Writes down in the same transaction what belongs to a job's end.
        with_new: Writes down in the same transaction what belongs to a new job, or refuses it.
        with_removal: Strikes out in the same transaction what belongs to a job that is deleted.
    """

    def __init__(
        self,
        database: Database,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        *,
        with_new: Callable[[sqlite3.Connection, Job], None] = lambda _connection, _job: None,
        with_end: Callable[[sqlite3.Connection, Job], None] = lambda _connection, _job: None,
        with_removal: Callable[[sqlite3.Connection, str], None] = lambda _connection, _job_id: None,
    ) -> None:
        self.on_news: Callable[[], None] = lambda: None
        """Called whenever something was written down that watchers of all jobs are told; to be set before any is."""
        self._database = database
        self._clock_us = clock_us
        self._with_new = with_new
        self._with_end = with_end
        self._with_removal = with_removal

    async def add(
        self, asked: Job, key: str, queue_limit: int, check_new: Callable[[], None] = lambda: None
    ) -> tuple[Job, bool]:
        """See :class:`edge_gateway.jobs.repository.JobRepository`."""

        def work(connection: sqlite3.Connection) -> tuple[Job, bool]:
            job = settled(connection, asked)
            if key:
                row = connection.execute("SELECT * FROM jobs WHERE idempotency_key = ?", (key,)).fetchone()
                if row is not None:
                    return _same(_job(row), job), False
            for name, asset_id in job.assets:
                need_upload(connection, asset_id, name)
                _need_named(connection, asset_id, name)
            _need_room(connection, queue_limit)
            check_new()
            self._with_new(connection, job)
            number = connection.execute(
                "INSERT INTO jobs (job_id, idempotency_key, state, video_asset_id, speech_asset_id, fit, keep_length,"
                " engine, speakers, created_us, updated_us, background_asset_id, keep_sound, background_volume,"
                " timeout_us, webhook, trace, last_sequence)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
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
                    round(job.options.timeout_s * 1e6),
                    job.options.webhook,
                    job.trace,
                ),
            ).lastrowid
            note_used(connection, job.video_asset_id, number or 0, job.created_us)
            _append(connection, job.job_id, 0, job.created_us, [StateChanged(state=job.state)])
            return replace(job, number=number or 0, last_sequence=1), True

        return await self._write(work)

    async def find(self, job_id: str) -> Job | None:
        """See :class:`edge_gateway.jobs.repository.JobRepository`."""

        def work(connection: sqlite3.Connection) -> Job | None:
            row = connection.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
            return None if row is None else _job(row)

        return await self._database.run(work)

    async def page(self, *, count: int, before: int | None, which: Which = ALL_JOBS) -> list[Job]:
        """See :class:`edge_gateway.jobs.repository.JobRepository`."""
        asked = {"before": before, "count": count, "query": which.query.casefold(), "upload": SCHEME}
        asked["states"] = json.dumps([state.value for state in which.states])

        def work(connection: sqlite3.Connection) -> list[Job]:
            connection.create_function("folded", 1, lambda text: (text or "").casefold(), deterministic=True)
            wanted = (_STANDS if which.states else "") + (_NAMED if which.query else "")
            rows = connection.execute(
                f"{_NAMES if which.query else ''}SELECT * FROM jobs WHERE (:before IS NULL OR number < :before){wanted}"  # noqa: S608 - our words
                " ORDER BY number DESC LIMIT :count",
                asked,
            )
            return [_job(row) for row in rows]

        return await self._database.run(work)

    async def replace_upload(self, upload_id: str, asset_id: str) -> None:
        """An upload has become an asset: jobs that name it name that."""
        await self._write(lambda connection: replace_upload(connection, upload_id, asset_id))

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

    async def queue_age_s(self) -> float:
        """How long the oldest job in the queue has been there; 0 where it is empty."""

        def work(connection: sqlite3.Connection) -> float:
            query = "SELECT MIN(updated_us) FROM jobs WHERE state = ?"
            (since_us,) = connection.execute(query, (JobState.QUEUED.value,)).fetchone()
            return 0.0 if since_us is None else max(0.0, (self._clock_us() - since_us) / 1e6)

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
            self._with_removal(connection, job_id)
            connection.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))
            note_deleted(connection, job_id, self._clock_us())
            shared = connection.execute(
                "SELECT 1 FROM jobs"
                " WHERE :result IN (result_asset_id, video_asset_id, speech_asset_id, background_asset_id)"
                " OR instr(speakers, :result)",
                {"result": job.result_asset_id},
            ).fetchone()
            # Another job has made the same video, or works with it: it stays.
            return replace(job, result_asset_id="") if shared else job

        return await self._write(work, erases=True)

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
                if change.state.is_final:
                    self._with_end(connection, job)
            events = _append(connection, job_id, job.last_sequence, now, news)
            return replace(job, last_sequence=job.last_sequence + len(events)), events

        return await self._write(work)

    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        """See :class:`edge_gateway.jobs.repository.EventLog`."""

        def work(connection: sqlite3.Connection) -> list[Event]:
            if connection.execute("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,)).fetchone() is None:
                raise NotFoundError("this edge has no such job", field="job_id")
            rows = connection.execute(
                "SELECT * FROM events WHERE job_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                (job_id, min(after, 2**62), limit),
            )
            return [read_event(row) for row in rows]

        return await self._database.run(work)

    async def last(self, job_id: str) -> Event:
        """See :class:`edge_gateway.jobs.repository.EventLog`."""

        def work(connection: sqlite3.Connection) -> Event:
            row = connection.execute(
                "SELECT * FROM events WHERE job_id = ? ORDER BY sequence DESC LIMIT 1", (job_id,)
            ).fetchone()
            if row is None:
                raise NotFoundError("this edge has no such job", field="job_id")
            return read_event(row)

        return await self._database.run(work)

    async def _write(self, work: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        written = await self._database.run(work, erases=erases)
        self.on_news()
        return written


def _same(known: Job, asked: Job) -> Job:
    if (known.assets, known.options) != (asked.assets, asked.options):
        message = "this key belongs to a job with other files or options; choose another"
        raise ConflictError(message, field="idempotency_key")
    return known


def _need_named(connection: sqlite3.Connection, asset_id: str, name: str) -> None:
    if is_upload_name(asset_id):
        return
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
        "UPDATE jobs SET state = ?, updated_us = ?, result_asset_id = ?, error = ?, report = ?,"
        " touched_us = (SELECT us FROM running_time) WHERE job_id = ?",
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
    before = take_numbers(connection, len(bodies))
    events = [
        Event(job_id=job_id, sequence=last + place, time_us=now_us, body=body, number=before + place)
        for place, body in enumerate(bodies, 1)
    ]
    rows = [(event.job_id, event.sequence, event.time_us, *_body_row(event.body), event.number) for event in events]
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
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


def read_event(row: sqlite3.Row) -> Event:
    """The event in a row of the log."""
    told: dict[str, Any] = json.loads(row["body"])
    body: EventBody
    if row["kind"] == "state":
        body = StateChanged(state=JobState(told["state"]))
    elif row["kind"] == "progress":
        body = Progress(**told | {"stage": Stage(told["stage"])})
    else:
        body = Notice(**told | {"severity": Severity(told["severity"])})
    return Event(
        job_id=row["job_id"], sequence=row["sequence"], time_us=row["time_us"], body=body, number=row["number"]
    )


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
        timeout_s=row["timeout_us"] / 1e6,
        webhook=row["webhook"],
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
        trace=row["trace"],
        touched_us=row["touched_us"],
    )
