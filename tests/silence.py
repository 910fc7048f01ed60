"""A TCP relay in which single connections die without a word: what is sent on them is taken and goes nowhere."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Connection:
    """One connection through the relay."""

    up_bytes: int = 0
    down_bytes: int = 0
    is_silent: bool = False


@dataclass(slots=True)
class Silence:
    """The relay; ``connections`` are those that were opened, in that order."""

    target: tuple[str, int]
    connections: list[Connection] = field(default_factory=list)
    serving: set[asyncio.Task[None]] = field(default_factory=set)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def busiest(self) -> Connection:
        """The connection that has carried most."""
        return max(self.connections, key=lambda one: one.up_bytes + one.down_bytes)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        connection = Connection()
        self.connections.append(connection)
        ends = {writer, far_writer}
        self.writers |= ends
        try:
            await asyncio.gather(
                self._forward(reader, far_writer, connection, up=True),
                self._forward(far_reader, writer, connection, up=False),
            )
        finally:
            self.writers -= ends
            for end in ends:
                end.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection, *, up: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if connection.is_silent:
                    continue
                if up:
                    connection.up_bytes += len(data)
                else:
                    connection.down_bytes += len(data)
                writer.write(data)
                await writer.drain()
        if not connection.is_silent:
            writer.close()

    def end(self) -> None:
        """Break every connection."""
        for writer in self.writers:
            writer.transport.abort()


@asynccontextmanager
async def silence(target: str) -> AsyncIterator[tuple[Silence, str]]:
    """Relay to an address inside the block; gives the relay and where it listens."""
    host, _, port = target.rpartition(":")
    link = Silence((host, int(port)))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link.serving.add(asyncio.ensure_future(link.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield link, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        link.end()
        await asyncio.gather(*link.serving, return_exceptions=True)
