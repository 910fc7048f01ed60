"""A TCP proxy that understands gRPC: it tells what passes, and resets its connections when told to."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from shared.pb.viseme.inference.v1 import render_pb2 as pb

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that turns a close into a reset."""
_PREFACE_BYTES = 24
_DATA = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A message of gRPC on its way."""

    is_up: bool
    call: tuple[int, int]
    """The connection's number and the stream's."""
    data: bytes


class _Frames:
    """Takes one direction of HTTP/2 apart, as far as gRPC's messages need it."""

    def __init__(self, skip: int) -> None:
        self._skip = skip
        self._buffer = bytearray()
        self._streams: dict[int, bytearray] = {}

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take bytes; gives the messages that became whole, with their stream's number."""
        self._buffer += data
        if self._skip:
            skipped = min(self._skip, len(self._buffer))
            del self._buffer[:skipped]
            self._skip -= skipped
        while len(self._buffer) >= 9:
            end = 9 + int.from_bytes(self._buffer[:3])
            if len(self._buffer) < end:
                return
            kind, stream = self._buffer[3], int.from_bytes(self._buffer[5:9]) & 0x7FFFFFFF
            if kind == _DATA:
                yield from self._messages(stream, bytes(self._buffer[9:end]))
            del self._buffer[:end]

    def _messages(self, stream: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        waiting = self._streams.setdefault(stream, bytearray())
        waiting += data
        while len(waiting) >= 5 and len(waiting) >= (end := 5 + int.from_bytes(waiting[1:5])):
            yield stream, bytes(waiting[5:end])
            del waiting[:end]


@dataclass(slots=True)
class Wire:
    """The proxy.

    ``on_data`` sees what passes, and the messages in it that are whole by then; where it gives True that is lost and
    every connection is reset.
    """

    target: Callable[[], str]
    on_data: Callable[[bool, bytes, list[Passing]], bool]
    cuts: int = 0
    connections: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        self.connections += 1
        number = self.connections
        host, _, port = self.target().rpartition(":")
        self.writers.add(writer)
        with contextlib.suppress(ConnectionError):
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            self.writers.add(far_writer)
            await asyncio.gather(
                self._forward(reader, far_writer, number, is_up=True),
                self._forward(far_reader, writer, number, is_up=False),
            )
            await _close(far_writer)
            self.writers.discard(far_writer)
        await _close(writer)
        self.writers.discard(writer)

    def cut(self) -> None:
        """Reset every connection."""
        self.cuts += 1
        self.reset()

    def reset(self) -> None:
        """The same, uncounted."""
        for writer in [writer for writer in self.writers if not writer.is_closing()]:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, *, is_up: bool
    ) -> None:
        frames = _Frames(_PREFACE_BYTES if is_up else 0)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 14):
                passing = [Passing(is_up=is_up, call=(number, on), data=one) for on, one in frames.feed(data)]
                if self.on_data(is_up, data, passing):
                    self.cut()
                    return
                writer.write(data)
                await writer.drain()
            if not writer.is_closing():
                writer.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def wire(
    target: Callable[[], str], on_data: Callable[[bool, bytes, list[Passing]], bool]
) -> AsyncIterator[tuple[Wire, str]]:
    """Run a proxy inside the block; gives it and where it listens. The target is asked for when somebody connects."""
    proxy = Wire(target, on_data)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(proxy.serve(reader, writer))
        proxy.serving.add(task)
        task.add_done_callback(proxy.serving.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield proxy, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        proxy.reset()
        await asyncio.gather(*proxy.serving)


@dataclass(slots=True)
class RenderTalk:
    """What edge and node say to each other in ``Render`` calls, counted; says when the link is to be cut.

    Args:
        when: Told every message and its kind; True cuts, once, and the message is lost.
    """

    when: Callable[[str, object], bool] = lambda _kind, _message: False
    was_cut: bool = False
    calls: set[tuple[int, int]] = field(default_factory=set)
    specs: list[pb.RenderSpec] = field(default_factory=list)
    orders: Counter[int] = field(default_factory=Counter)
    whole: Counter[int] = field(default_factory=Counter)
    crop_sizes: dict[int, int] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes of speech, crops and rendered segments, as often as they passed."""

    def on_data(self, is_up: bool, data: bytes, passing: list[Passing]) -> bool:
        """See :class:`Wire`."""
        del is_up, data
        return any(self._take(message) for message in passing)  # what follows a cut is lost

    def _take(self, passing: Passing) -> bool:
        try:
            message = (pb.RenderRequest if passing.is_up else pb.RenderResponse).FromString(passing.data)
        except DecodeError:  # of another call
            return False
        kind = message.WhichOneof("message") or ""
        if kind == "spec" and message.spec.job_id.startswith("job-"):
            self.calls.add(passing.call)
            self.specs.append(message.spec)
        if passing.call not in self.calls or not kind:
            return False
        told = getattr(message, kind)
        if not self.was_cut and self.when(kind, told):
            self.was_cut = True
            return True
        self._count(kind, told)
        return False

    def _count(self, kind: str, told: object) -> None:
        self.kinds[kind] += 1
        match told:
            case pb.SegmentOrder():
                self.orders[told.segment_index] += 1
            case pb.CropOffer():
                self.crop_sizes[told.crop_index] = told.size_bytes
            case pb.SpeechPiece() | pb.CropPiece():
                self.sent[kind] += len(told.data)
            case pb.RenderedPiece():
                self.sent[kind] += len(told.data)
                self.whole[told.segment_index] += told.HasField("complete")
