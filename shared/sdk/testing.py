"""An edge for tests: real gRPC on a free port, real chunk verification, jobs that follow a script.

::

    async with FakeEdge(script=[progress(Stage.INFER, 5, 10)]) as fake, viseme.connect(fake.address) as edge:
        job = await edge.dub("clip.mp4", "speech.wav")

``faults`` breaks its streams where a test wants it. It keeps everything in memory.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared import errors
from shared.digest import asset_id, chunk_count, chunk_digest, upload_id
from shared.pb.viseme.gateway.v1 import asset_pb2, asset_pb2_grpc, job_pb2, job_pb2_grpc
from shared.rpc.interceptors import ErrorInterceptor
from shared.sdk.model import JobState, Severity, Stage
from shared.sdk.testing_library import FakeLibraries

RESULT = b"the result\n" * 100_000

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
        notice("no_face_frames", "3 frames without a face passed through"),
        progress(Stage.COMPOSITE, 50, 50),
        state(JobState.FINISHING),
        state(JobState.SUCCEEDED),
    ]


@dataclass(slots=True, kw_only=True)
class Faults:
    """Where streams break. Each list is used up from its front, one number a stream; a stream beyond it is whole.

    Args:
        upload_after_bytes: Bytes after which an upload breaks.
        download_after_bytes: Bytes after which a download breaks.
        session_after_events: Events after which a session breaks.
        preview_after_pieces: Pieces after which a preview breaks; every fragment has two.
        download_flip: Downloads whose bytes are damaged on the way.
    """

    upload_after_bytes: list[int] = field(default_factory=list)
    download_after_bytes: list[int] = field(default_factory=list)
    session_after_events: list[int] = field(default_factory=list)
    preview_after_pieces: list[int] = field(default_factory=list)
    download_flip: int = 0


def _cut(numbers: list[int]) -> int | None:
    return numbers.pop(0) if numbers else None


@dataclass(slots=True)
class _Stored:
    manifest: asset_pb2.Manifest
    chunks: dict[int, bytes] = field(default_factory=dict)
    digests: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.digests |= dict(enumerate(self.manifest.chunk_digests))
        if self.manifest.head_digest:
            self.digests |= {0: self.manifest.head_digest, self.count - 1: self.manifest.tail_digest}

    @property
    def count(self) -> int:
        return chunk_count(self.manifest.size_bytes, self.manifest.chunk_bytes)

    @property
    def id(self) -> str:
        if len(self.digests) < self.count:
            head, tail = self.digests[0], self.digests[self.count - 1]
            return upload_id(self.manifest.size_bytes, head, tail, self.manifest.chunk_bytes)
        digests = [self.digests[index] for index in range(self.count)]
        return asset_id(self.manifest.size_bytes, digests, self.manifest.chunk_bytes)

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks[index] for index in sorted(self.chunks))

    @property
    def complete(self) -> bool:
        return len(self.chunks) == self.count == len(self.digests)

    def describe(self) -> asset_pb2.Asset:
        ready = asset_pb2.ASSET_STATE_READY if self.complete else asset_pb2.ASSET_STATE_UPLOADING
        asset = asset_pb2.Asset(
            asset_id=self.id,
            size_bytes=self.manifest.size_bytes,
            display_name=self.manifest.display_name,
            kind=asset_pb2.ASSET_KIND_VIDEO,
            state=ready,
        )
        asset.create_time.GetCurrentTime()
        return asset

    def held(self, *chunks: int) -> list[asset_pb2.ChunkRange]:
        wanted = chunks or tuple(range(self.count))
        return [asset_pb2.ChunkRange(first=index, count=1) for index in sorted(self.chunks) if index in wanted]


class FakeEdge(FakeLibraries, asset_pb2_grpc.AssetServiceServicer, job_pb2_grpc.JobServiceServicer):
    """An edge in this process.

    Args:
        script: What happens to every job, after QUEUED; it must end with a final state, else the job goes on until it
            is cancelled.
        faults: Where streams break.
        failure: The error of jobs whose script ends with FAILED.
        library: Files of libraries, by their names (``lib:LIBRARY/path``).
        refuse_upload: What the edge says at the end of every upload instead of taking it.
    """

    def __init__(
        self,
        *,
        script: Sequence[Body] | None = None,
        faults: Faults | None = None,
        failure: job_pb2.JobError | None = None,
        refuse_upload: errors.VisemeError | None = None,
        library: Mapping[str, bytes] | None = None,
    ) -> None:
        self.script = list(succeeding() if script is None else script)
        self.faults = faults or Faults()
        self.failure = failure
        self.refuse_upload = refuse_upload
        self.library = dict(library or {})
        self.stored: dict[str, _Stored] = {}
        self.jobs: dict[str, job_pb2.Job] = {}
        self.events: dict[str, list[job_pb2.Event]] = {}
        self.fragments = [b"first", b"second", b"third"]
        self.received_bytes = 0
        self.received_of: dict[str, int] = {}
        self.first_chunks: list[int] = []
        self.first_messages: list[str] = []
        self.address = ""
        self._changed = asyncio.Condition()
        self._keys: dict[str, str] = {}
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

    async def GetCapabilities(self, request: Any, context: Any) -> asset_pb2.GetCapabilitiesResponse:
        """Name one engine."""
        engine = asset_pb2.Engine(name="warp", summary="Warps.", is_default=True)
        return asset_pb2.GetCapabilitiesResponse(version="0", edge="fake", engines=[engine], libraries=self.libraries)

    async def Upload(self, request_iterator: Any, context: Any) -> AsyncIterator[asset_pb2.UploadResponse]:
        """Take chunks in any order, verify each, break where ``faults`` says."""
        cut = _cut(self.faults.upload_after_bytes)
        stored: _Stored | None = None
        partial = bytearray()
        received = 0
        async for request in request_iterator:
            if request.HasField("manifest"):
                fresh = _Stored(request.manifest)
                self.first_messages.append("open" if request.manifest.head_digest else "whole")
                stored = self._begin(fresh)
                held = stored.held(*fresh.digests)
                yield asset_pb2.UploadResponse(start=asset_pb2.UploadStart(asset_id=stored.id, held=held))
            elif stored is not None and request.HasField("digests"):
                yield asset_pb2.UploadResponse(held=self._announce(stored, request.digests))
            elif stored is not None:
                received += len(request.piece.data)
                self.received_bytes += len(request.piece.data)
                name = stored.manifest.display_name
                self.received_of[name] = self.received_of.get(name, 0) + len(request.piece.data)
                if cut is not None and received > cut:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the link was cut")
                if self._add(stored, request.piece, partial):
                    persisted = asset_pb2.UploadPersisted(
                        chunks=[asset_pb2.ChunkRange(first=request.piece.chunk_index, count=1)],
                        persisted_bytes=len(stored.data),
                    )
                    yield asset_pb2.UploadResponse(persisted=persisted)
            if stored is not None and stored.complete:
                if self.refuse_upload is not None:
                    raise self.refuse_upload
                yield asset_pb2.UploadResponse(complete=asset_pb2.UploadComplete(asset=stored.describe()))
                return

    def _begin(self, fresh: _Stored) -> _Stored:
        """What is there of a file; as at a real edge also of one that began before all its digests were known."""
        manifest = fresh.manifest
        ends = fresh.digests[0], fresh.digests[fresh.count - 1]
        unnamed = upload_id(manifest.size_bytes, *ends, manifest.chunk_bytes)
        older = self.stored.get(unnamed)
        if fresh.id not in self.stored and older is not None and older.digests.items() <= fresh.digests.items():
            older.digests |= fresh.digests
            self.stored[fresh.id] = self.stored.pop(unnamed)
        return self.stored.setdefault(fresh.id, fresh)

    def _announce(self, stored: _Stored, message: asset_pb2.ChunkDigests) -> asset_pb2.UploadHeld:
        before = stored.id
        told = dict(enumerate(message.digests, message.first_chunk))
        if any(stored.digests.get(index, digest) != digest for index, digest in told.items()):
            raise errors.ConflictError("another file; send the whole manifest", field="digests")
        stored.digests |= told
        if stored.id != before:
            self.stored[stored.id] = self.stored.pop(before)
        name = stored.id if len(stored.digests) == stored.count else ""
        return asset_pb2.UploadHeld(held=stored.held(*told), asset_id=name)

    def _add(self, stored: _Stored, piece: asset_pb2.ChunkPiece, partial: bytearray) -> bool:
        index = piece.chunk_index
        if piece.offset_bytes == 0:
            partial.clear()
            if index not in self.first_chunks:
                self.first_chunks.append(index)
        partial += piece.data
        whole = min(stored.manifest.chunk_bytes, stored.manifest.size_bytes - index * stored.manifest.chunk_bytes)
        if len(partial) < whole:
            return False
        if chunk_digest(partial) != stored.digests.get(index):
            raise errors.InvalidInputError(f"chunk {index} does not have its digest", field="piece")
        stored.chunks[index] = bytes(partial)
        return True

    def store(self, data: bytes, name: str) -> str:
        """Put an asset there as if it had been uploaded; gives its id."""
        stored = _Stored(
            asset_pb2.Manifest(
                size_bytes=len(data), chunk_bytes=len(data), chunk_digests=[chunk_digest(data)], display_name=name
            ),
            {0: data},
        )
        self.stored[stored.id] = stored
        return stored.id

    def _find(self, wanted: str) -> _Stored:
        if wanted not in self.stored:
            raise errors.NotFoundError(f"there is no asset {wanted}", field="asset_id")
        return self.stored[wanted]

    async def GetAsset(self, request: Any, context: Any) -> asset_pb2.GetAssetResponse:
        """Describe an asset."""
        stored = self._find(request.asset_id)
        return asset_pb2.GetAssetResponse(asset=stored.describe(), held=stored.held())

    async def ListAssets(self, request: Any, context: Any) -> asset_pb2.ListAssetsResponse:
        """List assets, two a page."""
        begin = int(request.page_token or 0)
        every = list(self.stored.values())
        more = str(begin + 2) if begin + 2 < len(every) else ""
        assets = [stored.describe() for stored in every[begin : begin + 2]]
        return asset_pb2.ListAssetsResponse(assets=assets, next_page_token=more)

    async def DeleteAsset(self, request: Any, context: Any) -> asset_pb2.DeleteAssetResponse:
        """Delete an asset."""
        del self.stored[self._find(request.asset_id).id]
        return asset_pb2.DeleteAssetResponse()

    async def Download(self, request: Any, context: Any) -> AsyncIterator[asset_pb2.DownloadResponse]:
        """Send an asset from an offset, break where ``faults`` says."""
        data = self._find(request.asset_id).data
        cut = _cut(self.faults.download_after_bytes)
        flip = self.faults.download_flip > 0
        self.faults.download_flip -= flip
        if request.offset_bytes > len(data):
            raise errors.InvalidInputError("beyond the end", field="offset_bytes")
        yield asset_pb2.DownloadResponse(
            offset_bytes=request.offset_bytes, size_bytes=len(data), sha256=hashlib.sha256(data).digest()
        )
        for offset in range(request.offset_bytes, len(data), 100_000):
            if cut is not None and offset - request.offset_bytes >= cut:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the link was cut")
            piece = data[offset : offset + 100_000]
            yield asset_pb2.DownloadResponse(offset_bytes=offset, data=piece[::-1] if flip else piece)

    async def SubmitJob(self, request: Any, context: Any) -> job_pb2.SubmitJobResponse:
        """Accept a job; the script runs at once, up to its first pause."""
        for wanted in (request.video_asset_id, request.speech_asset_id):
            if not self._find(wanted).complete:
                raise errors.MissingChunksError(f"asset {wanted} is not complete")
        known = self._keys.get(request.idempotency_key)
        if known is None:
            known = f"job-{len(self.jobs) + 1}"
            self._keys[request.idempotency_key] = known
            job = job_pb2.Job(
                job_id=known,
                video_asset_id=request.video_asset_id,
                speech_asset_id=request.speech_asset_id,
                options=request.options,
            )
            job.create_time.GetCurrentTime()
            self.jobs[known] = job
            self.events[known] = []
            await self.happen(known, state(JobState.QUEUED), *self.script)
        return job_pb2.SubmitJobResponse(job=self.jobs[known])

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
        if job.state not in {job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED}:
            await self.happen(job.job_id, state(JobState.CANCELLED))
        return job_pb2.CancelJobResponse(job=job)

    async def DeleteJob(self, request: Any, context: Any) -> job_pb2.DeleteJobResponse:
        """Delete a job."""
        del self.jobs[self._job(request.job_id).job_id]
        return job_pb2.DeleteJobResponse()

    async def Preview(self, request: Any, context: Any) -> AsyncIterator[job_pb2.PreviewResponse]:
        """Send ``fragments``, break where ``faults`` says."""
        cut = _cut(self.faults.preview_after_pieces)
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
        """Replay and follow one job, break where ``faults`` says."""
        cut = _cut(self.faults.session_after_events)
        sent = 0
        async for request in request_iterator:
            if request.HasField("ping"):
                yield job_pb2.SessionResponse(pong=job_pb2.Pong(nonce=request.ping.nonce))
            if not request.HasField("subscribe"):
                continue
            job_id, after = request.subscribe.job_id, request.subscribe.after_sequence
            if job_id not in self.events:
                error = job_pb2.JobError(reason="not_found", field="job_id", message=f"there is no job {job_id}")
                yield job_pb2.SessionResponse(error=job_pb2.SessionError(job_id=job_id, error=error))
                continue
            while True:
                for event in self.events[job_id][after:]:
                    if cut is not None and sent >= cut:
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "the link was cut")
                    sent += 1
                    after = event.sequence
                    yield job_pb2.SessionResponse(event=event)
                async with self._changed:
                    while len(self.events[job_id]) <= after:
                        await self._changed.wait()


class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # its stubs are none
    async def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
