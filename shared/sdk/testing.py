"""An edge for tests: real gRPC on a free port, real chunk verification, jobs that follow a script.

::

    async with FakeEdge(script=[progress(Stage.INFER, 5, 10)]) as fake, viseme.connect(fake.address) as edge:
        job = await edge.dub("clip.mp4", "speech.wav")

``faults`` breaks its streams where a test wants it. It keeps everything in memory.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared import errors
from shared.pb.viseme.gateway.v1 import asset_pb2, asset_pb2_grpc, job_pb2, job_pb2_grpc
from shared.rpc.interceptors import ErrorInterceptor
from shared.sdk.model import JobState, Severity, Stage
from shared.sdk.testing_assets import Faults, cut_of
from shared.sdk.testing_library import FakeLibraries

RESULT = b"the result\n" * 100_000

_FINAL = frozenset({job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED})

Body = job_pb2.StateChanged | job_pb2.Progress | job_pb2.Notice


def state(to: JobState) -> job_pb2.StateChanged:
    """A step of a script: the job moves to another state."""
    return job_pb2.StateChanged(state=job_pb2.JobState.Value(f"JOB_STATE_{to.upper()}"))


def progress(stage: Stage, done: int, total: int) -> job_pb2.Progress:
    """A step of a script: a stage has come further."""
    return job_pb2.Progress(stage=job_pb2.Stage.Value(f"STAGE_{stage.upper()}"), done_frames=done, total_frames=total)


def notice(reason: str, message: str, severity: Severity = Severity.WARNING) -> job_pb2.Notice:
    """A step of a script: words for a person."""
    return job_pb2.Notice(
        severity=job_pb2.Severity.Value(f"SEVERITY_{severity.upper()}"), reason=reason, message=message
    )


def succeeding() -> list[Body]:
    """The script of a job that succeeds."""
    return [
        state(JobState.PREPARING),
        progress(Stage.PREPARE, 50, 50),
        state(JobState.RENDERING),
        progress(Stage.INFER, 50, 50),
        notice("untouched_frames", "3 of 50 frames pass through untouched: 0.0 to 0.1 s (no face)."),
        progress(Stage.COMPOSITE, 50, 50),
        state(JobState.FINISHING),
        state(JobState.SUCCEEDED),
    ]


class FakeEdge(FakeLibraries, job_pb2_grpc.JobServiceServicer):
    """An edge in this process.

    Args:
        script: What happens to every job, after QUEUED; it must end with a final state, else the job goes on until it
            is cancelled.
        faults: Where streams break.
        failure: The error of jobs whose script ends with FAILED.
        library: Files of libraries, by their names (``lib:LIBRARY/path``).
        refuse_upload: What the edge says at the end of every upload instead of taking it.
        takes_uploading: Accept jobs on assets that are not complete; their script begins when they are.
        ids: What the ids of its jobs begin with.
    """

    def __init__(
        self,
        *,
        script: Sequence[Body] | None = None,
        faults: Faults | None = None,
        failure: job_pb2.JobError | None = None,
        refuse_upload: errors.VisemeError | None = None,
        library: Mapping[str, bytes] | None = None,
        takes_uploading: bool = True,
        ids: str = "job",
    ) -> None:
        super().__init__(faults, refuse_upload)
        self.script = list(succeeding() if script is None else script)
        self.failure = failure
        self.library = dict(library or {})
        self.takes_uploading = takes_uploading
        self.ids = ids
        self.jobs: dict[str, job_pb2.Job] = {}
        self.events: dict[str, list[job_pb2.Event]] = {}
        self.fragments = [b"first", b"second", b"third"]
        self.address = ""
        self.sessions = 0
        """Sessions that were opened."""
        self.submitted: list[job_pb2.SubmitJobRequest] = []
        self._changed = asyncio.Condition()
        self._keys: dict[str, str] = {}
        self._waiting: list[str] = []
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the address of the last time if there was one; what was stored is still there."""
        self._server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=[("grpc.so_reuseport", 0)])
        asset_pb2_grpc.add_AssetServiceServicer_to_server(self, self._server)
        job_pb2_grpc.add_JobServiceServicer_to_server(self, self._server)
        health = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(health, self._server)
        port = self._server.add_insecure_port(self.address or "127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        """Cut every stream and stop listening."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def SubmitJob(self, request: Any, context: Any) -> job_pb2.SubmitJobResponse:
        """Accept a job; the script runs once its assets are complete."""
        self.submitted.append(request)
        for wanted in filter(None, (request.video_asset_id, request.speech_asset_id, request.background_asset_id)):
            if not self._find(wanted).complete and not self.takes_uploading:
                raise errors.MissingChunksError(f"asset {wanted} is not complete")
        known = self._keys.get(request.idempotency_key)
        if known is None:
            known = f"{self.ids}-{len(self.jobs) + 1}"
            self._keys[request.idempotency_key] = known
            job = job_pb2.Job(
                job_id=known,
                video_asset_id=request.video_asset_id,
                speech_asset_id=request.speech_asset_id,
                background_asset_id=request.background_asset_id,
                options=request.options,
            )
            job.create_time.GetCurrentTime()
            self.jobs[known] = job
            self.events[known] = []
            await self.happen(known, state(JobState.QUEUED))
            self._waiting.append(known)
            await self.completed()
        return job_pb2.SubmitJobResponse(job=self.jobs[known])

    async def completed(self) -> None:
        """Let the jobs begin whose assets are complete."""
        for job_id in list(self._waiting):
            job = self.jobs[job_id]
            if all(self._find(wanted).complete for wanted in (job.video_asset_id, job.speech_asset_id)):
                self._waiting.remove(job_id)
                if job.state not in _FINAL:
                    await self.happen(job_id, *self.script)

    async def happen(self, job_id: str, *bodies: Body) -> None:
        """Let things happen to a job."""
        job = self.jobs[job_id]
        async with self._changed:
            for body in bodies:
                event = job_pb2.Event(job_id=job_id, sequence=len(self.events[job_id]) + 1)
                event.time.GetCurrentTime()
                if isinstance(body, job_pb2.StateChanged):
                    event.state_changed.CopyFrom(body)
                    self._move(job, body.state)
                elif isinstance(body, job_pb2.Progress):
                    event.progress.CopyFrom(body)
                else:
                    event.notice.CopyFrom(body)
                self.events[job_id].append(event)
                job.last_sequence = event.sequence
                job.update_time.GetCurrentTime()
            self._changed.notify_all()

    def _move(self, job: job_pb2.Job, to: int) -> None:
        job.state = job_pb2.JobState.ValueType(to)
        if to == job_pb2.JOB_STATE_FAILED:
            default = job_pb2.JobError(reason="no_face", field="video", message="no face was found at 0 s, 1 s")
            job.error.CopyFrom(self.failure or default)
        if to == job_pb2.JOB_STATE_SUCCEEDED:
            job.result_asset_id = self.store(RESULT, "out.mp4")
            stages = [
                job_pb2.StageTime(stage=stage, busy=Duration(seconds=stage))
                for stage in job_pb2.Stage.values()
                if job_pb2.STAGE_WAIT <= stage < job_pb2.STAGE_DOWNLOAD
            ]
            job.report.CopyFrom(
                job_pb2.JobReport(
                    frames=50,
                    frame_rate=25,
                    segments=1,
                    stages=stages,
                    total=Duration(seconds=9),
                    wan=job_pb2.WanBytes(up_bytes=1000, down_bytes=2000),
                    engine="warp",
                    untouched_frames=3,
                    link_profile="balanced",
                    sync=job_pb2.SyncScore(score=88, lag_ms=-5, correlation=0.636, amplitude=0.988),
                    untouched=[
                        job_pb2.UntouchedStretch(
                            end=Duration(nanos=120_000_000), reason=job_pb2.UNTOUCHED_REASON_NO_FACE
                        )
                    ],
                )
            )

    def _job(self, job_id: str) -> job_pb2.Job:
        if job_id not in self.jobs:
            raise errors.NotFoundError(f"there is no job {job_id}", field="job_id")
        return self.jobs[job_id]

    async def GetJob(self, request: Any, context: Any) -> job_pb2.GetJobResponse:
        """Describe a job."""
        return job_pb2.GetJobResponse(job=self._job(request.job_id))

    async def ListJobs(self, request: Any, context: Any) -> job_pb2.ListJobsResponse:
        """List jobs, newest first, two a page."""
        begin = int(request.page_token or 0)
        every = list(self.jobs.values())[::-1]
        more = str(begin + 2) if begin + 2 < len(every) else ""
        return job_pb2.ListJobsResponse(jobs=every[begin : begin + 2], next_page_token=more)

    async def CancelJob(self, request: Any, context: Any) -> job_pb2.CancelJobResponse:
        """Stop a job."""
        job = self._job(request.job_id)
        if job.state not in _FINAL:
            await self.happen(job.job_id, state(JobState.CANCELLED))
        return job_pb2.CancelJobResponse(job=job)

    async def DeleteJob(self, request: Any, context: Any) -> job_pb2.DeleteJobResponse:
        """Delete a job."""
        del self.jobs[self._job(request.job_id).job_id]
        return job_pb2.DeleteJobResponse()

    async def ListFaces(self, request: Any, context: Any) -> asset_pb2.ListFacesResponse:
        """List the videos that jobs used, newest first, one a page."""
        used = Counter(job.video_asset_id for job in self.jobs.values())
        order = list(dict.fromkeys(job.video_asset_id for job in list(self.jobs.values())[::-1]))
        begin = int(request.page_token or 0)
        faces = [asset_pb2.Face(asset=self._find(one).describe(), jobs=used[one]) for one in order[begin : begin + 1]]
        more = str(begin + 1) if begin + 1 < len(order) else ""
        return asset_pb2.ListFacesResponse(faces=faces, next_page_token=more)

    async def Preview(self, request: Any, context: Any) -> AsyncIterator[job_pb2.PreviewResponse]:
        """Send ``fragments``, break where ``faults`` says."""
        cut = cut_of(self.faults.preview_after_pieces)
        self._job(request.job_id)
        yield job_pb2.PreviewResponse(init=job_pb2.PreviewInit(mime_type="video/mp4", data=b"init"))
        pieces = 0
        for index, data in list(enumerate(self.fragments))[request.from_fragment :]:
            for offset, half in ((0, data[:1]), (1, data[1:])):
                if pieces == cut:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the link was cut")
                pieces += 1
                piece = job_pb2.PreviewPiece(fragment=index, size_bytes=len(data), offset_bytes=offset, data=half)
                yield job_pb2.PreviewResponse(piece=piece)
        if self.failure is not None:
            raise errors.JobFailedError(self.failure.message, cause_reason=self.failure.reason)

    async def Session(self, request_iterator: Any, context: Any) -> AsyncIterator[job_pb2.SessionResponse]:
        """Replay and follow jobs, break where ``faults`` says."""
        cut = cut_of(self.faults.session_after_events)
        self.sessions += 1
        follows: dict[str, int] = {}
        answers: list[job_pb2.SessionResponse] = []
        listening = asyncio.create_task(self._listen(request_iterator, follows, answers))
        sent = 0
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(lambda: listening.done() or answers or self._unread(follows))
                if listening.done():
                    return
                while answers:
                    yield answers.pop(0)
                for event in self._unread(follows):
                    if cut is not None and sent >= cut:
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "the link was cut")
                    sent += 1
                    follows[event.job_id] = event.sequence
                    yield job_pb2.SessionResponse(event=event)
        finally:
            listening.cancel()

    def _unread(self, follows: Mapping[str, int]) -> list[job_pb2.Event]:
        return [event for job_id, after in follows.items() for event in self.events[job_id][after:]]

    async def _listen(self, requests: Any, follows: dict[str, int], answers: list[job_pb2.SessionResponse]) -> None:
        async for request in requests:
            async with self._changed:
                kind = request.WhichOneof("message")
                if kind == "ping":
                    answers.append(job_pb2.SessionResponse(pong=job_pb2.Pong(nonce=request.ping.nonce)))
                elif kind == "unsubscribe":
                    follows.pop(request.unsubscribe.job_id, None)
                elif kind == "subscribe" and request.subscribe.job_id in self.events:
                    follows[request.subscribe.job_id] = request.subscribe.after_sequence
                elif kind == "subscribe":
                    job_id = request.subscribe.job_id
                    error = job_pb2.JobError(reason="not_found", field="job_id", message=f"there is no job {job_id}")
                    answers.append(job_pb2.SessionResponse(error=job_pb2.SessionError(job_id=job_id, error=error)))
                self._changed.notify_all()
            if follows and self.faults.session_hangs:
                await asyncio.Event().wait()
        async with self._changed:
            self._changed.notify_all()


class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # its stubs are none
    async def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
