"""The composite leg of a job: rendered segments become parts of the result, in order, by a child that stays."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from edge_gateway.jobs.events import ProgressBoard
from edge_gateway.jobs.faces import Face
from edge_gateway.jobs.files import JobFiles
from edge_gateway.jobs.job import Progress, Stage
from edge_gateway.jobs.usage import Usage
from shared.errors import InternalError, InvalidInputError
from shared.media.sandbox import Message
from shared.media.timeline import OutputSegment

_AHEAD = 2
"""Segments that the child may have: one in work, one that it finds ready."""


class Compositor(Protocol):
    """A child at work."""

    async def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send it a segment."""
        ...

    async def receive(self) -> Message | None:
        """Its next message; None when it is done."""
        ...


class Rendered:
    """Which segments the composite leg may take."""

    def __init__(self) -> None:
        self._ready: set[int] = set()
        self._change = asyncio.Event()

    def mark(self, segment: int) -> None:
        """A segment is ready."""
        self._ready.add(segment)
        self._change.set()

    async def until(self, segment: int) -> None:
        """Wait for a segment."""
        while segment not in self._ready:
            self._change.clear()
            await self._change.wait()
        self._ready.discard(segment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What is painted of one face."""

    face: Face
    """The track."""
    files: JobFiles
    """Where its rendered segments come from."""
    rendered: Rendered
    """Which of them are ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    segment: OutputSegment
    at: float


class CompositeLeg:
    """Composites the segments of one job.

    Args:
        start: Starts the child.
        layers: The faces that speak.
        crop_px: Side of the crops.
        files: Where composited segments go.
        usage: The job's figures.
        board: Where progress goes.
        on_composited: Told each segment that is on disk.
    """

    def __init__(
        self,
        *,
        start: Callable[[], AbstractAsyncContextManager[Compositor]],
        layers: Sequence[Layer],
        crop_px: int,
        files: JobFiles,
        usage: Usage,
        board: ProgressBoard,
        expected_frames: int,
        on_composited: Callable[[OutputSegment], None],
    ) -> None:
        self._start = start
        self._layers = layers
        self._crop_px = crop_px
        self._files = files
        self._usage = usage
        self._board = board
        self._on_composited = on_composited
        self.done_frames = 0
        """Frames of the result that are on disk."""
        self.total_frames = expected_frames
        """Frames of the whole result, as far as known."""
        self._sent: deque[_Sent] = deque()
        self._slots = asyncio.Semaphore(_AHEAD)

    def skip(self, segment: OutputSegment) -> None:
        """A segment is on disk already."""
        self._count(segment)

    async def run(self, segments: "asyncio.Queue[OutputSegment | None]") -> None:
        """Composite segments until None comes.

        Raises:
            VisemeError: the child failed.
        """
        first = await segments.get()
        if first is None:
            return
        async with self._start() as child, asyncio.TaskGroup() as tasks:
            receiving = tasks.create_task(self._receive(child))
            segment: OutputSegment | None = first
            while segment is not None:
                for layer in self._layers:
                    await layer.rendered.until(segment.index)
                await self._slots.acquire()
                await self._send(child, segment)
                segment = await segments.get()
            for _ in range(_AHEAD):
                await self._slots.acquire()
            receiving.cancel()

    async def _send(self, child: Compositor, segment: OutputSegment) -> None:
        times_us = self._layers[0].face.times_us
        faces = [await self._painted(layer, segment) for layer in self._layers]
        header: dict[str, Any] = {
            "kind": "segment",
            "index": segment.index,
            "source_frames": segment.sources,
            "times_us": [frame.time_us for frame in segment.frames],
            "end_us": segment.end_us,
            "source_times_us": [times_us[source] for source in segment.sources],
            "crop_px": self._crop_px,
            "faces": [told for told, _ in faces],
        }
        self._sent.append(_Sent(segment=segment, at=time.monotonic()))
        await child.send(header, b"".join(data for _, data in faces))

    @staticmethod
    async def _painted(layer: Layer, segment: OutputSegment) -> tuple[dict[str, Any], bytes]:
        """What was painted on one face, as the child is told of it."""
        held = await asyncio.to_thread(layer.files.rendered, segment.index)
        told = {
            "boxes": [layer.face.box(source) for source in segment.sources],
            "patch": (0, 0, 0, 0) if held is None else held[0].patch,
            "masks": [] if held is None else held[0].masks,
            "size_bytes": 0 if held is None else len(held[1]),
        }
        return told, b"" if held is None else held[1]

    async def _receive(self, child: Compositor) -> None:
        while (message := await self._answer(child)) is not None:
            if message.header["kind"] != "composited":
                continue
            sent = self._sent.popleft()
            if message.header["index"] != sent.segment.index:
                raise InternalError(f"segment {message.header['index']} was composited out of order")
            self._usage.add(Stage.COMPOSITE, sent.at, time.monotonic())
            await asyncio.to_thread(self._files.put_composited, sent.segment.index, message.payload)
            for layer in self._layers:
                await asyncio.to_thread(layer.files.drop_rendered, sent.segment.index)
            await asyncio.to_thread(self._files.write_json, "usage.json", self._usage.to_json())
            self._count(sent.segment)
            self._slots.release()
        raise InternalError("the compositing task ended early")

    async def _answer(self, child: Compositor) -> Message | None:
        try:
            return await child.receive()
        except InvalidInputError as error:
            if error.field != "segment":
                raise
            # Not the caller's fault, and nothing that trying again from disk would mend.
            message = f"what the node rendered of segment {self._sent[0].segment.index} is of no use: {error.message}"
            raise InternalError(message) from error

    def _count(self, segment: OutputSegment) -> None:
        self._on_composited(segment)
        self.done_frames += len(segment.frames)
        self._board.set(
            Progress(
                stage=Stage.COMPOSITE,
                done_frames=self.done_frames,
                total_frames=max(self.total_frames, self.done_frames),
            )
        )
