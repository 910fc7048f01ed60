"""The link to one edge: two connections, deadlines, and patience when it breaks."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc

from shared.errors import DeadlineError, EdgeUnavailableError, VisemeError
from shared.pb.viseme.gateway.v1 import asset_pb2_grpc, job_pb2_grpc, network_pb2_grpc
from shared.rpc.address import Address
from shared.rpc.channel import open_channel
from shared.rpc.status import from_rpc_error
from shared.telemetry import tracing

T = TypeVar("T")

_GROWTH: Final = 1.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to go on when the edge does not answer.

    Args:
        connect_s: Before it has ever answered.
        silence_s: After it has answered once: counted from the last thing heard.
        first_delay_s: Before the first new try; later ones wait longer, all of them jittered.
        longest_delay_s: Between two tries at most.
        call_s: The deadline of a single short call.
        stall_s: How long a transfer may stand still before the stream is made anew.
        takeover_s: How long another client's upload of the same file may stand still before it is taken over.
        ping_s: How often a quiet event stream is asked whether it is still there.
    """

    connect_s: float = 5.0
    silence_s: float = 90.0
    first_delay_s: float = 0.2
    longest_delay_s: float = 5.0
    call_s: float = 30.0
    stall_s: float = 60.0
    takeover_s: float = 10.0
    ping_s: float = 15.0


class Link:
    """Channels to one edge and what is known about them."""

    def __init__(self, address: Address, patience: Patience) -> None:
        self.address = address
        self.patience = patience
        self._answered = False
        tracing.follow_host()
        # Bulk never holds up events and short calls: they have a connection of their own.
        self._media = open_channel(address)
        self._control = open_channel(address, own_connection=True)
        self.media: asset_pb2_grpc.AssetServiceAsyncStub = asset_pb2_grpc.AssetServiceStub(self._media)
        self.assets: asset_pb2_grpc.AssetServiceAsyncStub = asset_pb2_grpc.AssetServiceStub(self._control)
        self.previews: job_pb2_grpc.JobServiceAsyncStub = job_pb2_grpc.JobServiceStub(self._media)
        self.jobs: job_pb2_grpc.JobServiceAsyncStub = job_pb2_grpc.JobServiceStub(self._control)
        self.probes: network_pb2_grpc.NetworkServiceAsyncStub = network_pb2_grpc.NetworkServiceStub(self._media)
        self.network: network_pb2_grpc.NetworkServiceAsyncStub = network_pb2_grpc.NetworkServiceStub(self._control)

    def warm(self) -> None:
        """Begin to connect where much will be sent soon."""
        self._media.get_state(try_to_connect=True)

    async def close(self) -> None:
        """Close both connections."""
        await self._media.close(None)
        await self._control.close(None)

    def error(self, error: grpc.RpcError) -> VisemeError:
        """An error of our tree that names this edge's address."""
        return from_rpc_error(error, unavailable=EdgeUnavailableError, address=f"the edge at {self.address}")

    def heard(self) -> None:
        """Note that the edge answered."""
        self._answered = True

    async def call(self, method: Callable[..., Awaitable[T]], request: Any) -> T:
        """Make a short call that may be repeated, with a deadline and with patience."""

        async def once() -> T:
            with tracing.span(type(request).__name__.removesuffix("Request"), kind=tracing.Kind.CLIENT):
                answer = await method(request, timeout=self.patience.call_s, metadata=tracing.metadata())
            self.heard()
            return answer

        return await self.persist(once, Attempts(self))

    async def persist(self, attempt: Callable[[], Awaitable[T]], attempts: "Attempts") -> T:
        """Repeat an attempt while the edge does not answer and patience lasts.

        Raises:
            EdgeUnavailableError: Patience is at its end.
            VisemeError: What the edge said.
        """
        while True:
            try:
                return await attempt()
            except grpc.RpcError as error:
                failed = self.error(error)
                if isinstance(failed, EdgeUnavailableError | DeadlineError):
                    await attempts.pause(failed)
                else:
                    self.heard()
                    raise failed from error
            except EdgeUnavailableError as error:
                await attempts.pause(error)

    @property
    def patience_s(self) -> float:
        """How long to go on now."""
        return self.patience.silence_s if self._answered else self.patience.connect_s


class Attempts:
    """Counts the tries of one operation; ``progress()`` makes patience begin anew."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._clock = asyncio.get_running_loop().time
        self._since: float | None = None
        self._tries = 0

    def progress(self) -> None:
        """Note that something came through."""
        self._link.heard()
        self._since = None
        self._tries = 0

    async def pause(self, error: VisemeError) -> None:
        """Wait before the next try.

        Raises:
            EdgeUnavailableError: It has been tried for long enough.
        """
        patience = self._link.patience
        now = self._clock()
        if self._since is None:
            self._since = now
        limit = self._link.patience_s
        delay = min(patience.longest_delay_s, patience.first_delay_s * _GROWTH**self._tries)
        delay *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads reconnects, guards nothing
        if now - self._since + delay > limit:
            tried = f"; tried {self._tries + 1} times in {now - self._since:.0f} s" if self._tries else ""
            raise EdgeUnavailableError(f"{error.message}{tried}") from error
        self._tries += 1
        await asyncio.sleep(delay)


async def read_within(call: Any, link: Link, moved: Callable[[], float]) -> Any:
    """Read the next message of a stream, or its end.

    Args:
        call: The stream.
        link: Whose patience counts.
        moved: When something last moved on the stream otherwise, in the event loop's time.

    Raises:
        EdgeUnavailableError: Nothing moved for ``stall_s``.
        grpc.RpcError: The stream broke.
    """
    clock = asyncio.get_running_loop().time
    begun = clock()
    reading = asyncio.ensure_future(call.read())
    try:
        while True:
            done, _ = await asyncio.wait({reading}, timeout=link.patience.stall_s)
            if done:
                return reading.result()
            if clock() - max(begun, moved()) >= link.patience.stall_s:
                raise EdgeUnavailableError(f"the edge at {link.address} stood still for {link.patience.stall_s:.0f} s")
    finally:
        reading.cancel()
