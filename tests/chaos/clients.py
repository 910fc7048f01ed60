"""Clients that hold an edge to its word: they note what it said, and look whether it stands when they return."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from shared import digest
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import AssetServiceStub
from shared.pb.viseme.gateway.v1.job_pb2_grpc import JobServiceStub
from shared.rpc.channel import END, send

PIECE_BYTES: Final = 64 << 10
PAUSE_S: Final = 0.2
"""Between two tries while the edge is away."""
FINAL: Final = frozenset({job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED})
# CANCELLED is what grpc.aio says of a stream whose connection broke while it was written to.
_AWAY: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})

OnNews = Callable[[], Awaitable[None]]


def connect(address: str) -> grpc.aio.Channel:
    """A connection of its own: one that is shared would wait longer with every try."""
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


async def insist(address: str, ask: Callable[[grpc.aio.Channel], Awaitable[Any]]) -> Any:
    """Ask until the edge answers; gives the answer."""
    while True:
        try:
            async with connect(address) as channel:
                return await ask(channel)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _AWAY:
                raise
        await asyncio.sleep(PAUSE_S)


def chunks_in(runs: Iterable[asset_pb2.ChunkRange]) -> set[int]:
    """The chunks of runs."""
    return {index for run in runs for index in range(run.first, run.first + run.count)}


@dataclass(slots=True)
class Upload:
    """One file on its way."""

    data: bytes
    name: str
    on_news: OnNews
    acknowledged: set[int] = field(default_factory=set)
    """Chunks of which the edge said that they are safe."""
    lost: set[int] = field(default_factory=set)
    """Those that it no longer had."""
    asset_id: str = ""

    @property
    def share(self) -> float:
        """How much of it is safe, 0 to 1."""
        return len(self.acknowledged) / digest.chunk_count(len(self.data))

    async def run(self, address: str) -> None:
        """Send it, again and again, until the edge says that it is complete."""
        await insist(address, self._try)

    async def _try(self, channel: grpc.aio.Channel) -> None:
        parts = [self.data[at : at + digest.CHUNK_BYTES] for at in range(0, len(self.data), digest.CHUNK_BYTES)]
        manifest = asset_pb2.Manifest(
            size_bytes=len(self.data),
            chunk_bytes=digest.CHUNK_BYTES,
            chunk_digests=[digest.chunk_digest(part) for part in parts],
            digest_function=asset_pb2.DIGEST_FUNCTION_SHA256,
            chunking=asset_pb2.CHUNKING_FIXED,
            display_name=self.name,
        )
        call: Any = AssetServiceStub(channel).Upload()
        await send(call, asset_pb2.UploadRequest(manifest=manifest))
        sending: asyncio.Task[None] | None = None
        try:
            while (answer := await call.read()) is not END:
                kind = answer.WhichOneof("message")
                if kind == "start":
                    held = chunks_in(answer.start.held)
                    self.lost |= self.acknowledged - held
                    await self._note(held)
                    sending = asyncio.create_task(self._send(call, parts, set(range(len(parts))) - held))
                elif kind == "persisted":
                    await self._note(chunks_in(answer.persisted.chunks))
                elif kind == "complete":
                    self.asset_id = answer.complete.asset.asset_id
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            call.cancel()
        if not self.asset_id:  # ended without an error of its own, or with one
            raise grpc.aio.AioRpcError(await call.code(), await call.initial_metadata(), await call.trailing_metadata())

    async def _note(self, chunks: set[int]) -> None:
        self.acknowledged |= chunks
        await self.on_news()

    async def _send(self, call: Any, parts: list[bytes], missing: set[int]) -> None:
        for index in sorted(missing):
            for at in range(0, len(parts[index]), PIECE_BYTES):
                data = parts[index][at : at + PIECE_BYTES]
                piece = asset_pb2.ChunkPiece(chunk_index=index, offset_bytes=at, data=data)
                if not await send(call, asset_pb2.UploadRequest(piece=piece)):
                    return
        await call.done_writing()


@dataclass(slots=True)
class Followed:
    """What was heard of one job."""

    sequence: int = 0
    skipped: int = 0
    ends: list[int] = field(default_factory=list)
    share: float = 0.0
    """How much of it is composited, 0 to 1."""


@dataclass(slots=True)
class Watcher:
    """Follows jobs in one session, and goes on where it was when that breaks."""

    on_news: OnNews
    jobs: dict[str, Followed] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """Event numbers that were missing, or came twice."""

    async def run(self, address: str) -> None:
        """Follow until all jobs have ended."""
        await insist(address, self._follow)

    @property
    def _open(self) -> list[str]:
        return [job_id for job_id, job in self.jobs.items() if not job.ends]

    async def _follow(self, channel: grpc.aio.Channel) -> None:
        call: Any = JobServiceStub(channel).Session()
        for job_id in self._open:
            after = self.jobs[job_id].sequence
            await send(call, job_pb2.SessionRequest(subscribe=job_pb2.Subscribe(job_id=job_id, after_sequence=after)))
        try:
            while self._open:
                answer = await call.read()
                if answer is END:
                    raise grpc.aio.AioRpcError(
                        await call.code(), await call.initial_metadata(), await call.trailing_metadata()
                    )
                kind = answer.WhichOneof("message")
                if kind == "skipped":
                    self.jobs[answer.skipped.job_id].skipped += answer.skipped.progress_events
                elif kind == "event":
                    self._hear(answer.event)
                    await self.on_news()
                elif kind == "error":
                    self.faults.append(f"{answer.error.job_id}: {answer.error.error.message}")
        finally:
            call.cancel()

    def _hear(self, event: job_pb2.Event) -> None:
        job = self.jobs[event.job_id]
        if event.sequence != job.sequence + 1 + job.skipped:
            self.faults.append(f"{event.job_id}: {event.sequence} came after {job.sequence} (+{job.skipped} left out)")
        job.sequence, job.skipped = event.sequence, 0
        if event.HasField("state_changed") and event.state_changed.state in FINAL:
            job.ends.append(event.state_changed.state)
        if event.HasField("progress") and event.progress.stage == job_pb2.STAGE_COMPOSITE:
            done, total = event.progress.done_frames, event.progress.total_frames
            job.share = max(job.share, done / total if total else 0.0)
