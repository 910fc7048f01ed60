"""Clips of many chunks, and a client that uploads them chunk by chunk, as a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import grpc
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from shared.digest import CHUNK_BYTES, asset_id, chunk_digest
from shared.pb.viseme.gateway.v1 import asset_pb2
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import AssetServiceStub
from shared.rpc.status import from_rpc_error

_MEDIA = Path(__file__).resolve().parent / "media"
_RATE = 192_000
_BLOCK = 4800


def large_clip(target: Path, *, faststart: bool = False) -> bytes:
    """The test clip with a sound track of 12 MB beside its pictures; its container is that of the name's ending.

    Args:
        target: Where it is made.
        faststart: Whether an MP4 or MOV has its index before its pictures.
    """
    options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(_MEDIA / "clip.mp4")) as clip, av.open(str(target), "w", options=options) as out:
        pictures = out.add_stream_from_template(clip.streams.video[0])
        sound = out.add_stream("pcm_s16le", rate=_RATE, layout="7.1")
        assert isinstance(sound, AudioStream)
        at = 0
        for packet in clip.demux(clip.streams.video[0]):
            if packet.pts is None or packet.time_base is None:
                continue
            while at < float(packet.pts * packet.time_base) * _RATE:
                frame = AudioFrame.from_ndarray(np.zeros((1, 8 * _BLOCK), np.int16), format="s16", layout="7.1")
                frame.sample_rate, frame.pts = _RATE, at
                at += _BLOCK
                out.mux(sound.encode(frame))
            packet.stream = pictures
            out.mux(packet)
        out.mux(sound.encode(None))
    return target.read_bytes()


class Trickle:
    """One upload whose chunks go when they are told to; a context manager, entered once the edge knows the file."""

    def __init__(self, channel: grpc.aio.Channel, data: bytes, name: str) -> None:
        self.chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        self.digests = [chunk_digest(chunk) for chunk in self.chunks]
        self.asset_id = asset_id(len(data), self.digests)
        self.wanted: list[int] = []
        """The chunks that the edge asked for last."""
        self.held: set[int] = set()
        self._manifest = asset_pb2.Manifest(
            size_bytes=len(data), chunk_bytes=CHUNK_BYTES, chunk_digests=self.digests, display_name=name
        )
        self._stub = AssetServiceStub(channel)
        self._requests: asyncio.Queue[asset_pb2.UploadRequest | None] = asyncio.Queue()
        self._change = asyncio.Condition()
        self._started = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        await self._started.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.exception()  # the test has seen it, or has ended the edge itself

    @property
    def missing(self) -> list[int]:
        """Chunks that the edge does not have."""
        return [chunk for chunk in range(len(self.chunks)) if chunk not in self.held]

    async def send(self, *chunks: int) -> None:
        """Send chunks and wait until they are safe."""
        for index in chunks:
            piece = asset_pb2.ChunkPiece(chunk_index=index, data=self.chunks[index])
            self._requests.put_nowait(asset_pb2.UploadRequest(piece=piece))
        async with self._change:
            await self._change.wait_for(lambda: self.held.issuperset(chunks))

    async def until_wanted(self, chunk: int) -> None:
        """Wait until the edge asks for a chunk."""
        async with self._change:
            await self._change.wait_for(lambda: chunk in self.wanted)

    async def send_rest(self) -> None:
        """Send all that is missing, and wait for the end of the upload.

        Raises:
            VisemeError: the edge refuses the file.
        """
        for index in self.missing:
            piece = asset_pb2.ChunkPiece(chunk_index=index, data=self.chunks[index])
            self._requests.put_nowait(asset_pb2.UploadRequest(piece=piece))
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        try:
            async for answer in self._stub.Upload(self._messages()):
                await self._take(answer)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def _messages(self) -> AsyncIterator[asset_pb2.UploadRequest]:
        yield asset_pb2.UploadRequest(manifest=self._manifest)
        while (request := await self._requests.get()) is not None:
            yield request

    async def _take(self, answer: asset_pb2.UploadResponse) -> None:
        async with self._change:
            match answer.WhichOneof("message"):
                case "start":
                    self.held |= _chunks(answer.start.held)
                    self._started.set()
                case "persisted":
                    self.held |= _chunks(answer.persisted.chunks)
                case "wanted":
                    self.wanted = [chunk for run in answer.wanted.chunks for chunk in sorted(_chunks([run]))]
            self._change.notify_all()


def _chunks(runs: Iterable[asset_pb2.ChunkRange]) -> set[int]:
    return {chunk for run in runs for chunk in range(run.first, run.first + run.count)}
