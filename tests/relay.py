"""A TCP relay that resets its connections after so many bytes towards the server, in turn."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that turns a close into a reset."""


@dataclass(slots=True)
class Relay:
    """Counts bytes towards the server and resets both ends when the next cut is reached."""

    target: tuple[str, int]
    cuts: list[int] = field(default_factory=list)
    before_reset: Callable[[], Awaitable[None]] | None = None
    """Awaited when a cut is reached: what the server's kernel still holds may be lost to a reset."""
    up_bytes_s: int = 0
    """At most so many bytes a second towards the server on each connection; 0 for no limit."""
    up_bytes: int = 0
    since_cut: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    serving: set[asyncio.Task[None]] = field(default_factory=set)
    is_cut: bool = False
    _flows: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._flows.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:  # nobody listens there now
            writer.transport.abort()
            return
        # With small buffers a reset throws away next to nothing that counts as sent.
        far_writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for end in (writer, far_writer):
            end.transport.set_write_buffer_limits(0)
            self.writers.add(end)
        await asyncio.gather(self._forward(reader, far_writer, up=True), self._forward(far_reader, writer, up=False))
        for end in (writer, far_writer):
            self.writers.discard(end)
            end.close()
            with contextlib.suppress(ConnectionError):
                await end.wait_closed()

    def reset(self) -> None:
        """Reset every connection."""
        self.since_cut = 0
        for writer in [writer for writer in self.writers if not writer.is_closing()]:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones until :meth:`mend`."""
        self.is_cut = True
        self.reset()

    def hold(self) -> None:
        """Let nothing through, and tell nobody, until :meth:`mend`."""
        self._flows.clear()

    def mend(self) -> None:
        """Let everything through again."""
        self.is_cut = False
        self._flows.set()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(OSError):  # reset, or gone already
            while data := await reader.read(1 << 14):
                await self._flows.wait()
                if up and self.up_bytes_s:
                    await asyncio.sleep(len(data) / self.up_bytes_s)
                if up:
                    if self.cuts and self.since_cut + len(data) >= self.cuts[0]:
                        data = data[: self.cuts.pop(0) - self.since_cut]
                        self.up_bytes += len(data)
                        writer.write(data)
                        await writer.drain()
                        if self.before_reset is not None:
                            await self.before_reset()
                        self.reset()
                        return
                    self.up_bytes += len(data)
                    self.since_cut += len(data)
                writer.write(data)
                await writer.drain()
            if not writer.is_closing():
                writer.write_eof()


@asynccontextmanager
async def relay(target: str, cuts: Iterable[int] = (), *, receive_bytes: int = 0) -> AsyncIterator[tuple[Relay, str]]:
    """Relay to an address inside the block; gives the relay and where it listens.

    ``receive_bytes`` bounds what the kernel holds for a relay that is slow: what a client gave up still comes.
    """
    host, _, port = target.rpartition(":")
    link = Relay((host, int(port)), list(cuts))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link.serving.add(asyncio.ensure_future(link.serve(reader, writer)))

    listening = socket.create_server(("127.0.0.1", 0))
    if receive_bytes:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    server = await asyncio.start_server(accept, sock=listening)
    try:
        yield link, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        link.mend()
        link.reset()
        await asyncio.gather(*link.serving)
