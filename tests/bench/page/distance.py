"""A relay as far away as it is told: each byte arrives half a round trip later, a connection takes one to open.

Neither loss nor TCP's slow start are in it, which is to the advantage of whoever sends more.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_READ_BYTES = 64 << 10


@dataclass(slots=True)
class Distance:
    """A relay that runs, and what it carried."""

    target: tuple[str, int]
    round_trip_s: float
    down_bytes: int = 0
    """From the server, since the relay began or the count was set back."""
    serving: set[asyncio.Task[None]] = field(default_factory=set)
    address: str = ""

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        task = asyncio.ensure_future(self._serve(reader, writer))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self.round_trip_s)  # the handshake
        far_reader, far_writer = await asyncio.open_connection(*self.target)
        async with asyncio.TaskGroup() as ways:
            ways.create_task(self._carry(reader, far_writer, down=False))
            ways.create_task(self._carry(far_reader, writer, down=True))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool) -> None:
        """Pass on what comes, later, in order and at any rate."""
        clock = asyncio.get_running_loop().time
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(max(0.0, due - clock()))
                if not data:
                    writer.close()
                    return
                writer.write(data)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()

        async with asyncio.TaskGroup() as arriving:
            arriving.create_task(arrive())
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(_READ_BYTES):
                    self.down_bytes += len(data) * down
                    under_way.put_nowait((clock() + self.round_trip_s / 2, data))
            under_way.put_nowait((clock() + self.round_trip_s / 2, b""))


@asynccontextmanager
async def distance(target: str, round_trip_s: float) -> AsyncIterator[Distance]:
    """Relay to an address inside the block."""
    host, _, port = target.rpartition(":")
    relay = Distance((host, int(port)), round_trip_s)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        for task in relay.serving:
            task.cancel()
        await asyncio.gather(*relay.serving, return_exceptions=True)
