"""The link to an edge: two connections, deadlines, patience when it breaks, and others to go to where there are."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar, cast

import grpc

from shared.errors import DeadlineError, EdgeUnavailableError, VisemeError
from shared.pb.viseme.gateway.v1 import asset_pb2_grpc, job_pb2_grpc, network_pb2_grpc
from shared.rpc.address import Address
from shared.rpc.channel import open_channel
from shared.rpc.status import from_rpc_error
from shared.rpc.tls import Trust
from shared.sdk import model
from shared.sdk.nearest import first_to_answer, is_serving, nearest
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
        leave_s: Of several edges: after so long without an answer the others are asked, too.
    """

    connect_s: float = 5.0
    silence_s: float = 90.0
    first_delay_s: float = 0.2
    longest_delay_s: float = 5.0
    call_s: float = 30.0
    stall_s: float = 60.0
    takeover_s: float = 10.0
    ping_s: float = 15.0
    leave_s: float = 2.0


class Link:
    """Channels to one edge, or to one of several at a time, and what is known about them.

    Args:
        address: Where it is, or where they are; the first is used until :meth:`settle` has found the nearest.
        patience: How long to go on when it does not answer.
        on_change: Told which of several edges is used, and what a change costs.
        key: Shown with every call; empty for none.
        trust: How edges are taken by TLS.
    """

    def __init__(
        self,
        address: Address | Sequence[Address],
        patience: Patience,
        on_change: Callable[[model.EdgeChange], None] = lambda _: None,
        *,
        key: str = "",
        trust: Trust | None = None,
    ) -> None:
        self._trust = trust
        self.patience = patience
        self.addresses = (address,) if isinstance(address, Address) else tuple(address)
        self.tell = on_change
        self.place = 0
        """Grows with every change of the edge."""
        self.left = asyncio.Event()
        """Set once the edge in use was left; there is another event for the next."""
        self._answered = False
        tracing.follow_host()
        self._here = Connections(self.addresses[0], trust)
        self._old: list[Connections] = []
        self._seeking = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._acknowledged: dict[str, int] = {}
        self._left_behind: dict[str, int] = {}
        # What is called is looked up at each call: by then the edge may be another.
        self.media = cast("asset_pb2_grpc.AssetServiceAsyncStub", _Late(key, lambda: self._here.media))
        self.assets = cast("asset_pb2_grpc.AssetServiceAsyncStub", _Late(key, lambda: self._here.assets))
        self.previews = cast("job_pb2_grpc.JobServiceAsyncStub", _Late(key, lambda: self._here.previews))
        self.jobs = cast("job_pb2_grpc.JobServiceAsyncStub", _Late(key, lambda: self._here.jobs))
        self.probes = cast("network_pb2_grpc.NetworkServiceAsyncStub", _Late(key, lambda: self._here.probes))
        self.network = cast("network_pb2_grpc.NetworkServiceAsyncStub", _Late(key, lambda: self._here.network))

    @property
    def address(self) -> Address:
        """Where the edge in use is."""
        return self._here.address

    @property
    def has_others(self) -> bool:
        """Whether there is another to go to."""
        return len(self.addresses) > 1

    async def settle(self, prefer: Address | None = None) -> None:
        """Of several edges find the nearest that answers, and look from now on whether it still does."""
        if not self.has_others:
            return
        if (found := await nearest(self.addresses, prefer, trust=self._trust)) is not None:
            address, trip_s = found
            await self._here.close()
            self._here = Connections(address, self._trust)
            self.heard()
            words = f"using the edge at {address}, {trip_s * 1000:.0f} ms there and back"
            self.tell(model.EdgeChange(edge=str(address), left="", message=words))
        self._watching = asyncio.create_task(self._watch())

    async def seek(self, place: int) -> None:
        """Ask all edges, as the one in use at that place does not answer, and go on where one does."""
        async with self._seeking:
            if self.place != place:
                return
            here = self.address
            found = await first_to_answer(
                here, [address for address in self.addresses if address != here], trust=self._trust
            )
            if found is not None and found != here:
                self._move(found)

    def _move(self, to: Address) -> None:
        was, self._here = self._here, Connections(to, self._trust)
        self._old.append(was)  # calls on it end by themselves: to close it under them looks like being cancelled
        self._left_behind |= self._acknowledged
        self._acknowledged = {}
        self.place += 1
        left, self.left = self.left, asyncio.Event()
        left.set()
        self.heard()
        words = f"the edge at {was.address} does not answer; going on at the edge at {to}"
        self.tell(model.EdgeChange(edge=str(to), left=str(was.address), message=words))

    async def _watch(self) -> None:
        """Leave an edge that does not answer although connections to it seem to stand; until cancelled."""
        while True:
            await asyncio.sleep(self.patience.leave_s)
            place = self.place
            if not await is_serving(self._here.control, 2 * self.patience.leave_s):
                await self.seek(place)

    async def here(self, work: Awaitable[T]) -> T:
        """Wait for something that the edge in use is to do, as long as it is the one in use.

        Raises:
            EdgeUnavailableError: It was left meanwhile.
        """
        if not self.has_others:
            return await work
        left, address = self.left, self.address
        task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(left.wait())
        try:
            await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise EdgeUnavailableError(f"the edge at {address} was left for another")
            return task.result()
        finally:
            leaving.cancel()
            task.cancel()

    def acknowledged(self, name: str, size_bytes: int) -> None:
        """Note how much of a file is safe at the edge in use."""
        if self.has_others:
            self._acknowledged[name] = size_bytes

    def arrived(self, name: str, held_bytes: int) -> None:
        """Tell what must be sent again of a file, of which the edge in use has so much."""
        had = self._left_behind.pop(name, None)
        if had is None:
            return
        again = max(0, had - held_bytes)
        words = f"{again} bytes of {name} must be sent again" if again else f"nothing of {name} must be sent again"
        here = str(self.address)
        self.tell(
            model.EdgeChange(edge=here, left="", message=f"{words} to the edge at {here}", file=name, again_bytes=again)
        )

    def warm(self) -> None:
        """Begin to connect where much will be sent soon."""
        self._here.warm()

    async def close(self) -> None:
        """Close all connections."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        for connections in (self._here, *self._old):
            await connections.close()

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
                answer = await self.here(method(request, timeout=self.patience.call_s, metadata=tracing.metadata()))
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


class Connections:
    """Two connections to one edge: bulk never holds up events and short calls."""

    def __init__(self, address: Address, trust: Trust | None) -> None:
        self.address = address
        self._media = open_channel(address, trust=trust)
        self.control = open_channel(address, own_connection=True, trust=trust)
        self.media: asset_pb2_grpc.AssetServiceAsyncStub = asset_pb2_grpc.AssetServiceStub(self._media)
        self.assets: asset_pb2_grpc.AssetServiceAsyncStub = asset_pb2_grpc.AssetServiceStub(self.control)
        self.previews: job_pb2_grpc.JobServiceAsyncStub = job_pb2_grpc.JobServiceStub(self._media)
        self.jobs: job_pb2_grpc.JobServiceAsyncStub = job_pb2_grpc.JobServiceStub(self.control)
        self.probes: network_pb2_grpc.NetworkServiceAsyncStub = network_pb2_grpc.NetworkServiceStub(self._media)
        self.network: network_pb2_grpc.NetworkServiceAsyncStub = network_pb2_grpc.NetworkServiceStub(self.control)

    def warm(self) -> None:
        """Begin to connect for media."""
        self._media.get_state(try_to_connect=True)

    async def close(self) -> None:
        """Close both."""
        await self._media.close(None)
        await self.control.close(None)


class _Late:
    """A stub that is another one as soon as another edge is used, and shows a key with every call.

    An interceptor would do that, too, but ``send`` of :mod:`shared.rpc.channel` needs the calls as they are.
    """

    def __init__(self, key: str, stub: Callable[[], Any]) -> None:
        self._shown = (("authorization", f"Bearer {key}"),) if key else ()
        self._stub = stub

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._call, name)

    def _call(self, name: str, *given: Any, **named: Any) -> Any:
        if self._shown:
            named["metadata"] = (*(named.get("metadata") or ()), *self._shown)
        return getattr(self._stub(), name)(*given, **named)


class Attempts:
    """Counts the tries of one operation; ``progress()`` makes patience begin anew."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._clock = asyncio.get_running_loop().time
        self._since: float | None = None
        self._tries = 0
        self._place = link.place

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
        if self._link.has_others and self._place == self._link.place and now - self._since >= patience.leave_s:
            await self._link.seek(self._place)
            now = self._clock()
        if self._place != self._link.place:
            self._place, self._since, self._tries = self._link.place, None, 0
            return
        limit = self._link.patience_s
        delay = min(patience.longest_delay_s, patience.first_delay_s * _GROWTH**self._tries)
        delay *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads reconnects, guards nothing
        if now - self._since + delay > limit:
            tried = f"; tried {self._tries + 1} times in {now - self._since:.0f} s" if self._tries else ""
            none = "none of the edges answers; the last one: " if self._link.has_others else ""
            raise EdgeUnavailableError(f"{none}{error.message}{tried}") from error
        self._tries += 1
        await asyncio.sleep(delay)


async def read_within(call: Any, link: Link, moved: Callable[[], float]) -> Any:
    """Read the next message of a stream, or its end.

    Args:
        call: The stream.
        link: Whose patience counts.
        moved: When something last moved on the stream otherwise, in the event loop's time.

    Raises:
        EdgeUnavailableError: Nothing moved for ``stall_s``, or the edge was left for another.
        grpc.RpcError: The stream broke.
    """
    clock = asyncio.get_running_loop().time
    begun = clock()
    left, address = link.left, link.address
    reading, leaving = asyncio.ensure_future(call.read()), asyncio.ensure_future(left.wait())
    try:
        while True:
            done, _ = await asyncio.wait(
                {reading, leaving}, timeout=link.patience.stall_s, return_when=asyncio.FIRST_COMPLETED
            )
            if reading in done:
                return reading.result()
            if done:
                raise EdgeUnavailableError(f"the edge at {address} was left for another")
            if clock() - max(begun, moved()) >= link.patience.stall_s:
                raise EdgeUnavailableError(f"the edge at {address} stood still for {link.patience.stall_s:.0f} s")
    finally:
        reading.cancel()
        leaving.cancel()
