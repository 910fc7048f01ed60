"""A TCP relay that is far away: every byte comes later by a delay, and no faster than a rate, in both directions."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

_PIECE: Final = 4 << 10
_BUFFER_S: Final = 0.05
"""What may wait in the relay for its turn, at the rate; more stays with the sender, as with a router's buffer."""


@dataclass(slots=True)
class FarLink:
    """The relay; what it is may be changed while it runs."""

    target: tuple[str, int] = ("127.0.0.1", 1)
    delay_s: float = 0.0
    up_bits_s: float = 1e12
    down_bits_s: float = 1e12
    address: str = ""
    _free_at: dict[bool, float] = field(default_factory=dict)
    """When the line in each direction is free; all connections share it."""

    def leads_to(self, address: str) -> None:
        """Go on to this address from now on."""
        host, _, port = address.rpartition(":")
        self.target = (host, int(port))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target, limit=_PIECE)
        except OSError:
            writer.close()
            return
        for end in (writer, far_writer):
            end.transport.set_write_buffer_limits(0)
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        try:
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(
                    self._carry(reader, far_writer, up=True), self._carry(far_reader, writer, up=False)
                )
        finally:
            for end in (writer, far_writer):
                end.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivering = asyncio.create_task(_deliver(under_way, writer))
        clock = asyncio.get_running_loop().time
        try:
            while data := await reader.read(_PIECE):
                rate = self.up_bits_s if up else self.down_bits_s
                due = max(clock(), self._free_at.get(up, 0.0)) + 8 * len(data) / rate
                self._free_at[up] = due
                under_way.put_nowait((due + self.delay_s, data))
                await asyncio.sleep(max(0.0, due - clock() - _BUFFER_S))
            under_way.put_nowait((clock() + self.delay_s, b""))
            await delivering
        finally:
            delivering.cancel()


async def _deliver(under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        at, data = await under_way.get()
        await asyncio.sleep(max(0.0, at - clock()))
        if not data:
            with contextlib.suppress(OSError):
                writer.write_eof()
            return
        writer.write(data)
        await writer.drain()


@contextmanager
def far_link(*, delay_s: float = 0.0, up_bits_s: float = 1e12, down_bits_s: float = 1e12) -> Iterator[FarLink]:
    """Relay inside the block, in a thread of its own; ``leads_to`` says where."""
    link = FarLink(delay_s=delay_s, up_bits_s=up_bits_s, down_bits_s=down_bits_s)
    ready, loop, over = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(link.serve, "127.0.0.1", 0, limit=_PIECE)
        link.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await over.wait()
        server.close()
        # Connections that nobody closed.
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait(10)
    try:
        yield link
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
