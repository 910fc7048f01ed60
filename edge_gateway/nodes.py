"""An inference node over gRPC: one connection for media, another for questions, so that bulk never holds these up."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from statistics import median
from typing import Final

import grpc

from edge_gateway.failures import one_error
from edge_gateway.jobs.node import EngineCard, Meter, NodeStatus, RenderStream
from edge_gateway.link import LinkRate, measure
from edge_gateway.node_stream import Call, EchoCall, NodeStream, node_errors
from edge_gateway.pulse import Pulse
from shared.errors import InvalidInputError, VisemeError
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceStub
from shared.rpc.address import Address
from shared.rpc.channel import open_channel
from shared.rpc.tls import Trust
from shared.telemetry import tracing
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_STATUS_S: Final = 5.0
_ROUND_TRIPS: Final = 5
_STREAM_S: Final = 86_400.0
"""For so long streams on a connection may go on that shows a certificate which was replaced."""

_READY: Final = frozenset({pb.TRITON_STATE_READY, pb.TRITON_STATE_LOCAL})


class GrpcNode:
    """The node at an address.

    Args:
        address: Where it is.
        trust: How it is taken by TLS; files that are replaced are seen within a question for its state.
        on_up: Told the bytes of every message to it.
        on_down: Told the bytes of every message from it.
        on_answer: Told the seconds of every question for its state that it answered.
    """

    def __init__(
        self,
        address: Address,
        *,
        trust: Trust | None = None,
        on_up: Callable[[int], None] = lambda _: None,
        on_down: Callable[[int], None] = lambda _: None,
        on_answer: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._at = address
        self._address = address.target
        self._trust = trust
        self._shown = trust.state() if trust is not None else ()
        # Kept, so that to connect anew never depends on what the files are like by then.
        self._credentials = trust.credentials() if trust is not None else None
        self._media = self._connect()
        self._control = self._connect()
        self._fresh: grpc.aio.Channel | None = None
        self._given_up: asyncio.Queue[tuple[grpc.aio.Channel, float | None]] = asyncio.Queue()
        self._streams: set[NodeStream] = set()
        self._heard_at = 0.0
        self._link = LinkRate(self._measure)
        self._on_up = on_up
        self._on_down = on_down
        self._on_answer = on_answer
        self.last: NodeStatus | None = None
        """What it said last."""
        self.is_up = False
        """Whether it answered the last question."""
        self._round_trips: deque[float] = deque(maxlen=_ROUND_TRIPS)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        address: Address,
        *,
        trust: Trust | None = None,
        on_up: Callable[[int], None],
        on_down: Callable[[int], None],
        on_answer: Callable[[float], None] = lambda _: None,
    ) -> AsyncIterator["GrpcNode"]:
        """Connect on the first call, disconnect at the end."""
        node = cls(address, trust=trust, on_up=on_up, on_down=on_down, on_answer=on_answer)
        try:
            with one_error():
                async with asyncio.TaskGroup() as tasks:
                    feeling = tasks.create_task(Pulse(node).watch())
                    closing = tasks.create_task(node._close_given_up())
                    yield node
                    feeling.cancel()
                    closing.cancel()
        finally:
            await node._close()

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return self._address

    def engines(self) -> tuple[EngineCard, ...]:
        """The engines that it last reported."""
        return self.last.engines if self.last is not None else ()

    @property
    def round_trip_s(self) -> float | None:
        """How long its answers take, one that was held up left aside; None while it does not answer."""
        return median(self._round_trips) if self._round_trips else None

    @property
    def up_bits_s(self) -> float | None:
        """Bits a second that the way to it carries, where a job has had that measured."""
        return self._link.known

    async def status(self) -> NodeStatus:
        """Ask how it is.

        Raises:
            NodeUnavailableError: it does not answer.
        """
        self._look_at_files()
        was_up, asked_at = self.is_up, time.monotonic()
        try:
            with node_errors(self._address):
                told = await RenderServiceStub(self._control).GetStatus(pb.GetStatusRequest(), timeout=_STATUS_S)
        except VisemeError:
            self.is_up = False
            self._round_trips.clear()
            raise
        self.is_up = True
        round_trip_s = time.monotonic() - asked_at
        self._round_trips.append(round_trip_s)
        self._on_answer(round_trip_s)
        self.last = NodeStatus(
            version=told.version,
            name=told.node,
            engine_ready=told.triton in _READY,
            engines=tuple(
                EngineCard(
                    name=engine.name,
                    summary=engine.summary,
                    is_default=engine.is_default,
                    crop_px=engine.crop_px,
                    crop_scale=round(engine.crop_scale, 6),
                )
                for engine in told.engines
            ),
            queued_segments=told.queued_segments,
            queue_limit=told.queue_limit,
        )
        if not was_up:
            _LOG.info("node answers", node=self._address, engines=[engine.name for engine in self.last.engines])
        return self.last

    async def forget(self, digests: Iterable[bytes]) -> list[bytes] | None:
        """Have it delete the crops and speech of these SHA-256; gives those that it still renders from.

        None where it is of a version that knows no such call.

        Raises:
            NodeUnavailableError: it does not answer.
        """
        request = pb.ForgetRequest(digests=digests)
        with node_errors(self._address):
            try:
                told = await RenderServiceStub(self._control).Forget(request, timeout=_STATUS_S)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
                return None
        return list(told.in_use)

    async def watch(self, interval_s: float, on_silence: Callable[[], None] = lambda: None) -> None:
        """Ask how it is from time to time, until cancelled; tells whenever it does not answer."""
        while True:
            was_up = self.is_up
            try:
                await self.status()
            except VisemeError as error:
                if was_up or self.last is None:
                    _LOG.warning("node does not answer", node=self._address, reason=error.reason, error=error.message)
                on_silence()
            await asyncio.sleep(interval_s)

    async def rate(self) -> float:
        """Bits a second that the way to it and back carries; see :class:`edge_gateway.link.LinkRate`.

        Raises:
            NodeUnavailableError: it does not answer.
        """
        return await self._link.rate()

    async def _measure(self) -> float:
        call = RenderServiceStub(self._media).MeasureLink(None)
        try:
            return await measure(EchoCall(call, self._address))
        finally:
            call.cancel()

    @asynccontextmanager
    async def render(self, meter: Meter) -> AsyncIterator[RenderStream]:
        """Open a ``Render`` call; leaving the context cancels it where it still runs."""
        with tracing.span("viseme.inference.v1.RenderService/Render", kind=tracing.Kind.CLIENT, node=self._address):
            call: Call = RenderServiceStub(self._media).Render(None, metadata=tracing.metadata())
            stream = NodeStream(call, self._address, meter, self._sent, self._hear)
            if not self._streams:
                self._heard_at = time.monotonic()
            self._streams.add(stream)
            try:
                yield stream
            finally:
                self._streams.discard(stream)
                call.cancel()

    # What the pulse asks for.
    def heard_at(self) -> float | None:
        """When the streams last heard of the node; None while there are none."""
        return self._heard_at if self._streams else None

    async def ask(self, timeout_s: float) -> None:
        """Ask on the connection for questions.

        Raises:
            NodeUnavailableError: it does not answer in time.
        """
        self._keep(None)
        await self._question(self._control, timeout_s)

    async def ask_streams(self, timeout_s: float) -> None:
        """Ask on the connection of the streams.

        Raises:
            NodeUnavailableError: it does not answer in time.
        """
        await self._question(self._media, timeout_s)
        self._heard_at = time.monotonic()

    async def knock(self, timeout_s: float) -> None:
        """Ask on a new connection, which is kept for ``renew`` if the node answers.

        Raises:
            NodeUnavailableError: it does not answer in time.
        """
        channel = self._connect()
        try:
            await self._question(channel, timeout_s)
        except BaseException:
            self._given_up.put_nowait((channel, None))
            raise
        self._keep(channel)

    async def _question(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        with node_errors(self._address):
            await RenderServiceStub(channel).GetStatus(pb.GetStatusRequest(), timeout=timeout_s)

    def renew(self) -> None:
        """Give up the connections and the streams on them; calls from now on go over new ones."""
        _LOG.warning("connections to the node are made anew", node=self._address, streams=len(self._streams))
        for stream in self._streams:
            stream.lose()
        self._streams.clear()
        self._given_up.put_nowait((self._media, None))
        self._given_up.put_nowait((self._control, _STATUS_S))
        self._media = self._fresh if self._fresh is not None else self._connect()
        self._control = self._connect()
        self._fresh = None

    def _keep(self, channel: grpc.aio.Channel | None) -> None:
        if self._fresh is not None:
            self._given_up.put_nowait((self._fresh, None))
        self._fresh = channel

    def _connect(self) -> grpc.aio.Channel:
        return open_channel(self._at, own_connection=True, is_urgent=True, credentials=self._credentials)

    def _look_at_files(self) -> None:
        """Where certificates were replaced, have calls from now on go over connections that show the new ones."""
        if self._trust is None or (state := self._trust.state()) == self._shown:
            return
        self._shown = state
        try:
            self._credentials = self._trust.credentials()
        except InvalidInputError as error:  # half written, or not right: what stands goes on
            _LOG.warning("new certificate not taken; connections stay as they are", error=error.message)
            return
        _LOG.info("connections show new certificates", node=self._address)
        self._given_up.put_nowait((self._control, _STATUS_S))
        self._given_up.put_nowait((self._media, _STREAM_S))
        self._media, self._control = self._connect(), self._connect()
        self._keep(None)

    def _sent(self, size: int, seconds: float) -> None:
        self._link.sent(size, seconds)
        self._on_up(size)

    def _hear(self, size: int) -> None:
        self._heard_at = time.monotonic()
        self._on_down(size)

    async def _close_given_up(self) -> None:
        while True:
            channel, grace_s = await self._given_up.get()
            await channel.close(grace_s)

    async def _close(self) -> None:
        self._keep(None)
        self._given_up.put_nowait((self._media, None))
        self._given_up.put_nowait((self._control, None))
        while not self._given_up.empty():
            channel, _ = self._given_up.get_nowait()
            await channel.close(None)
