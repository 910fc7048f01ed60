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
    up_bytes: int = 0
    since_cut: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        far_reader, far_writer = await asyncio.open_connection(*self.target)
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

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 14):
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
async def relay(target: str, cuts: Iterable[int] = ()) -> AsyncIterator[tuple[Relay, str]]:
    """Relay to an address inside the block; gives the relay and where it listens."""
    host, _, port = target.rpartition(":")
    link = Relay((host, int(port)), list(cuts))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link.serving.add(asyncio.ensure_future(link.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield link, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        link.reset()
        await asyncio.gather(*link.serving)
