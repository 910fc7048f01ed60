"""A job: its events, its end, its result."""

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import grpc

from shared.errors import (
    CancelledByUserError,
    ConflictError,
    DeadlineError,
    EdgeUnavailableError,
    JobFailedError,
    NotFoundError,
)
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.rpc.channel import END, send
from shared.sdk import model
from shared.sdk.bring import Bringing
from shared.sdk.convert import error_from, event_from, job_from, time_from
from shared.sdk.download import Download, check_target
from shared.sdk.link import Attempts, Link
from shared.sdk.preview import Preview
from shared.sdk.upload import ProgressCallback
from shared.telemetry import tracing

T = TypeVar("T")


class Job:
    """A job at an edge. ``status`` is what is known; everything else asks the edge.

    The files of a job that ``Edge.dub`` made may still be on their way. They go on by themselves, end with the job, and
    are stopped when the edge is left. Should they fail for good, ``events()``, ``wait()``, ``result()`` and ``save()``
    raise why, and the job is cancelled; but if only the edge cannot be reached, the job waits there for its files.
    """

    def __init__(
        self, link: Link, status: model.JobStatus, *, uploads: Bringing | None = None, is_taken_up: bool = False
    ) -> None:
        self.is_taken_up = is_taken_up
        """Whether it is the unfinished job of an earlier call, which ``Edge.dub`` went on with."""
        self.skipped_progress = 0
        """Progress events that ``events()`` left out since this program read them more slowly than they came."""
        self._link = link
        self._status = status
        self._uploads = uploads
        self._client_stages: dict[model.Stage, float] = {}
        self._at = link.address
        self._again: Callable[[], Awaitable[Job]] | None = None

    def __repr__(self) -> str:
        return f"<viseme.Job {self.id} {self.state}>"

    @property
    def id(self) -> str:
        """The job's name, made by the edge."""
        return self._status.id

    @property
    def status(self) -> model.JobStatus:
        """The job as it was last heard of; ``refresh()`` asks again."""
        return self._status

    @property
    def state(self) -> model.JobState:
        """Where it stood when it was last heard of."""
        return self._status.state

    @property
    def report(self) -> model.JobReport | None:
        """What the job took, once it has succeeded; with upload and download where they happened here."""
        report = self._status.report
        if report is None:
            return None
        stages = {**report.stages, **self._client_stages}
        if self._uploads is not None and self._uploads.seconds is not None:
            stages[model.Stage.UPLOAD] = self._uploads.seconds
        return dataclasses.replace(report, stages=stages)

    async def uploaded(self) -> None:
        """Wait until the job's files are at the edge, or the job is over and needs them no more.

        Raises:
            VisemeError: They cannot be brought there.
        """
        if self._uploads is not None:
            await self._uploads.done()

    def moves_by(self, again: "Callable[[], Awaitable[Job]]") -> None:
        """Say how the job is submitted again at another edge, should this one be left; with the same key."""
        self._again = again

    async def _settle(self) -> None:
        """Have the job at the edge that is used now."""
        while self._at != self._link.address:
            if self._again is None:
                words = f"job {self.id} is at the edge at {self._at}, which does not answer"
                raise EdgeUnavailableError(f"{words}; the one at {self._link.address} does not know it")
            if self._uploads is not None:
                await self._uploads.stop()
            there = await self._again()
            self._status, self._uploads, self._at = there.status, there._uploads, there._at  # noqa: SLF001 - a job, too

    async def _call(self, method: Callable[..., Awaitable[T]], request: Callable[..., Any]) -> T:
        """Ask the edge at which the job is; where another is used in the middle, the job goes there first."""
        while True:
            await self._settle()
            at = self._at
            try:
                answer = await self._link.call(method, request(job_id=self.id))
            except NotFoundError:
                if at == self._link.address:
                    raise
            else:
                if at == self._link.address:
                    return answer

    async def refresh(self) -> model.JobStatus:
        """Ask the edge how the job is."""
        answer = await self._call(self._link.jobs.GetJob, job_pb2.GetJobRequest)
        return self._note(answer.job)

    async def cancel(self) -> model.JobStatus:
        """Stop the job and its uploads; changes nothing when it is over already."""
        if self._uploads is not None and not self.state.is_final:
            self._uploads.cancel()
        answer = await self._call(self._link.jobs.CancelJob, job_pb2.CancelJobRequest)
        return self._note(answer.job)

    async def link(self, *, valid_s: float = 86_400.0) -> model.Link:
        """A link by which anybody may fetch the result, without a key.

        Args:
            valid_s: For how many seconds it is good; the edge names the most in ``link_most_s``. It ends with the job.

        Raises:
            ConflictError: The job has not succeeded.
            InvalidInputError: The time is none, or too long.
        """
        request = job_pb2.CreateLinkRequest(job_id=self.id, valid_seconds=valid_s)
        answer = await self._link.call(self._link.jobs.CreateLink, request)
        return model.Link(url=answer.url, expires=time_from(answer.expire_time))

    async def delete(self) -> None:
        """Delete the job, its events and its result; it must be over. One that is gone already stays so."""
        with contextlib.suppress(NotFoundError):
            await self._call(self._link.jobs.DeleteJob, job_pb2.DeleteJobRequest)

    async def events(self, *, after: int = 0) -> AsyncGenerator[model.Event, None]:
        """Everything that happened to the job and that happens, until it is over.

        A broken link is mended and what was missed is replayed: every event comes once, in order. Only to a program
        that reads more slowly than they come is older progress left out, see ``skipped_progress``.
        Where the job goes on at another edge, it has another id there and its events begin anew.

        Args:
            after: Leave out events up to this sequence number.

        Raises:
            EdgeUnavailableError: The edge stayed silent for too long.
            VisemeError: What the edge said, or why its files cannot be brought to it.
        """
        attempts = Attempts(self._link)
        seen = _Seen(of=self.id, after=after)
        while True:
            self._check_uploads()
            try:
                async with aclosing(self._follow(seen, attempts)) as following:
                    async for raw in following:
                        attempts.progress()
                        event = event_from(raw) if seen.is_new(raw) else None
                        if event is None:
                            continue
                        yield event
                        if isinstance(event, model.StateChanged) and event.state.is_final:
                            await self._end()
                            return
                if self.state.is_final:
                    return
                await attempts.pause(EdgeUnavailableError(f"the edge at {self._link.address} ended the event stream"))
            except grpc.RpcError as error:
                failed = self._link.error(error)
                if not isinstance(failed, EdgeUnavailableError | DeadlineError):
                    raise failed from error
                await attempts.pause(failed)
            except EdgeUnavailableError as error:
                await attempts.pause(error)

    async def preview(self, *, from_fragment: int = 0) -> AsyncGenerator[model.PreviewPart, None]:
        """The result while it is made, or after: an init segment, then fragments, each whole and once.

        Their data in a row is a fragmented MP4 with the packets of the finished file. A broken link is mended.

        Args:
            from_fragment: Leave out fragments before this one.

        Raises:
            JobFailedError: The job failed.
            CancelledByUserError: It was cancelled.
            InvalidInputError: The result has not so many fragments.
            EdgeUnavailableError: The edge stayed silent for too long.
        """
        async with aclosing(Preview(self._link, self.id, from_fragment).parts()) as parts:
            async for part in parts:
                yield part

    async def wait(self) -> model.JobReport:
        """Wait until the job is over.

        Raises:
            JobFailedError: It failed; ``cause_reason`` says why in one word.
            CancelledByUserError: Somebody cancelled it.
            EdgeUnavailableError: The edge stayed silent for too long.
        """
        await self.refresh()
        if not self.state.is_final:
            async with aclosing(self.events(after=self._status.last_sequence)) as events:
                async for _event in events:
                    pass
        return self.result()

    def result(self) -> model.JobReport:
        """The report of a job that is over.

        Raises:
            JobFailedError: It failed.
            CancelledByUserError: It was cancelled.
            ConflictError: It is not over.
        """
        status = self._status
        self._check_uploads()
        if status.state is model.JobState.FAILED:
            failure = status.failure or model.JobFailure(
                reason="internal", field="", message="the edge did not say why"
            )
            raise JobFailedError(failure.message, field=failure.field, limit=failure.limit, cause_reason=failure.reason)
        if status.state is model.JobState.CANCELLED:
            raise CancelledByUserError(f"job {self.id} was cancelled")
        if status.state is not model.JobState.SUCCEEDED or self.report is None:
            raise ConflictError(f"job {self.id} is not over: it is {status.state}")
        return self.report

    async def save(self, path: str | os.PathLike[str], *, on_progress: ProgressCallback | None = None) -> Path:
        """Wait for the result and write it to a file; it appears there whole or not at all.

        Raises:
            JobFailedError: The job failed.
            InvalidInputError: The file cannot be written.
            EdgeUnavailableError: The edge stayed silent for too long.
        """
        target = Path(path)
        check_target(target)
        while True:
            if not self.state.is_final:
                await self.wait()
            self.result()
            begun, at = time.monotonic(), self._at
            try:
                await Download(self._link, self._status.result_asset_id, target, on_progress).run()
                break
            except NotFoundError:
                if at == self._link.address:
                    raise
                await self.refresh()  # at the other edge, where the job has to be done first
        self._client_stages[model.Stage.DOWNLOAD] = time.monotonic() - begun
        return target

    def _note(self, job: job_pb2.Job) -> model.JobStatus:
        self._status = job_from(job)
        if self._uploads is not None and self.state.is_final and self.state is not model.JobState.SUCCEEDED:
            self._uploads.cancel()
        return self._status

    async def _end(self) -> None:
        await self.refresh()
        if self._uploads is not None and self.state is model.JobState.SUCCEEDED:
            await self._uploads.settle()
        self._check_uploads()

    def _check_uploads(self) -> None:
        """Make sure that the files of a job that did not succeed did not fail."""
        error = None if self._uploads is None else self._uploads.error
        if error is not None and self.state is not model.JobState.SUCCEEDED:
            raise error

    async def _follow(self, seen: "_Seen", attempts: Attempts) -> AsyncGenerator[job_pb2.Event, None]:
        await self.refresh()
        after = seen.after if seen.of == self.id else 0
        left = self._link.left
        if self.state.is_final and after >= self._status.last_sequence:
            return
        call = self._link.jobs.Session(None, metadata=tracing.metadata())
        try:
            subscribe = job_pb2.Subscribe(job_id=self.id, after_sequence=after)
            await send(call, job_pb2.SessionRequest(subscribe=subscribe))
            await send(call, job_pb2.SessionRequest(ping=job_pb2.Ping(nonce=1)))
            while (answer := await self._next(call, left)) is not END:
                kind = answer.WhichOneof("message")
                if kind == "event" and answer.event.job_id == self.id:
                    yield answer.event
                elif kind == "pong":
                    attempts.progress()
                elif kind == "skipped":
                    self.skipped_progress += answer.skipped.progress_events
                elif kind == "error":
                    raise error_from(answer.error.error)
        finally:
            call.cancel()

    async def _next(self, call: Any, left: asyncio.Event) -> Any:
        """The next message; a stream that is quiet is asked whether it is still there."""
        reading, leaving = asyncio.ensure_future(call.read()), asyncio.ensure_future(left.wait())
        pinged = False
        try:
            while True:
                failing = None if self._uploads is None else self._uploads.failing
                waits: set[asyncio.Future[Any]] = {reading, leaving, *((failing,) if failing else ())}
                done, _ = await asyncio.wait(
                    waits, timeout=self._link.patience.ping_s, return_when=asyncio.FIRST_COMPLETED
                )
                if reading in done:
                    return reading.result()
                if leaving in done:
                    raise EdgeUnavailableError(f"the edge at {self._at} was left for another")
                if done:
                    self._check_uploads()
                if pinged:
                    raise EdgeUnavailableError(f"the edge at {self._link.address} does not answer pings")
                await send(call, job_pb2.SessionRequest(ping=job_pb2.Ping(nonce=1)))
                pinged = True
        finally:
            reading.cancel()
            leaving.cancel()


@dataclasses.dataclass(slots=True)
class _Seen:
    """How far the events of a job have been told; those of the same job at another edge begin anew."""

    of: str
    after: int

    def is_new(self, raw: job_pb2.Event) -> bool:
        """Whether an event was not told yet; it is from now on."""
        if raw.job_id != self.of:
            self.of, self.after = raw.job_id, 0
        is_new = raw.sequence > self.after
        self.after = max(self.after, raw.sequence)
        return is_new
