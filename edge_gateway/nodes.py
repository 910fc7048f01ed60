"""An inference node over gRPC: one connection for media, another for questions, so that bulk never holds these up."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import grpc

from edge_gateway.failures import one_error
from edge_gateway.jobs.node import (
    EngineCard,
    FromNode,
    Meter,
    NodeStatus,
    RenderStream,
    ToNode,
)
from edge_gateway.node_messages import answer_of, request_of
from edge_gateway.pulse import Pulse
from shared.errors import NodeUnavailableError, VisemeError
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceStub
from shared.rpc.address import Address
from shared.rpc.channel import END, open_channel
from shared.rpc.status import from_rpc_error
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_STATUS_S: Final = 5.0
_CUT: Final = "the connection to the node was cut"
_READY: Final = frozenset({pb.TRITON_STATE_READY, pb.TRITON_STATE_LOCAL})

_Call = grpc.aio.StreamStreamCall[Any, Any]


class GrpcNode:
    """The node at an address.

    Args:
        address: Where it is.
        on_up: Told the bytes of every message to it.
        on_down: Told the bytes of every message from it.
    """

    def __init__(
        self,
        address: Address,
        *,
        on_up: Callable[[int], None] = lambda _: None,
        on_down: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._at = address
        self._address = str(address)
        self._media = self._connect()
        self._control = self._connect()
        self._fresh: grpc.aio.Channel | None = None
        self._given_up: asyncio.Queue[tuple[grpc.aio.Channel, float | None]] = asyncio.Queue()
        self._streams: set[_Stream] = set()
        self._heard_at = 0.0
        self._on_up = on_up
        self._on_down = on_down
        self.last: NodeStatus | None = None
        """What it said last."""
        self.is_up = False
        """Whether it answered the last question."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, address: Address, *, on_up: Callable[[int], None], on_down: Callable[[int], None]
    ) -> AsyncIterator["GrpcNode"]:
        """Connect on the first call, disconnect at the end."""
        node = cls(address, on_up=on_up, on_down=on_down)
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

    async def status(self) -> NodeStatus:
        """Ask how it is.

        Raises:
            NodeUnavailableError: it does not answer.
        """
        self.is_up, was_up = False, self.is_up
        with _node_errors(self._address):
            told = await RenderServiceStub(self._control).GetStatus(pb.GetStatusRequest(), timeout=_STATUS_S)
        self.is_up = True
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

    async def watch(self, interval_s: float) -> None:
        """Ask how it is from time to time, until cancelled."""
        while True:
            was_up = self.is_up
            try:
                await self.status()
            except VisemeError as error:
                if was_up or self.last is None:
                    _LOG.warning("node does not answer", node=self._address, reason=error.reason, error=error.message)
            await asyncio.sleep(interval_s)

    @asynccontextmanager
    async def render(self, meter: Meter) -> AsyncIterator[RenderStream]:
        """Open a ``Render`` call; leaving the context cancels it where it still runs."""
        call: _Call = RenderServiceStub(self._media).Render(None)
        stream = _Stream(call, self._address, meter, self._on_up, self._hear)
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
        with _node_errors(self._address):
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
        return open_channel(self._at, own_connection=True, is_urgent=True)

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


class _Stream:
    """See :class:`edge_gateway.jobs.node.RenderStream`."""

    def __init__(
        self, call: _Call, address: str, meter: Meter, on_up: Callable[[int], None], on_down: Callable[[int], None]
    ) -> None:
        self._call = call
        self._address = address
        self._meter = meter
        self._on_up = on_up
        self._on_down = on_down
        self._is_lost = False

    def lose(self) -> None:
        """End it here: its connection is dead."""
        self._is_lost = True
        self._call.cancel()

    async def send(self, message: ToNode) -> None:
        request = request_of(message)
        with self._errors():
            try:
                await self._call.write(request)
            except asyncio.InvalidStateError:
                await self._raise_end()
        size = request.ByteSize()
        self._meter.up_bytes += size
        self._on_up(size)

    async def receive(self) -> FromNode | None:
        with self._errors():
            response: Any = await self._call.read()
            if response is END:
                if await self._call.code() is not grpc.StatusCode.OK:
                    await self._raise_end()
                return None
        size = response.ByteSize()
        self._meter.down_bytes += size
        self._on_down(size)
        return answer_of(response)

    async def end(self) -> None:
        with self._errors():
            try:
                await self._call.done_writing()
            except asyncio.InvalidStateError:
                await self._raise_end()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors of the call in our words; grpc tells of a call that we gave up as if this task were cancelled."""
        try:
            with _node_errors(self._address):
                yield
        except (asyncio.CancelledError, VisemeError) as error:
            task = asyncio.current_task()
            if self._is_lost and not (task is not None and task.cancelling()):
                raise NodeUnavailableError(_CUT) from error
            raise

    async def _raise_end(self) -> None:
        """Raise what the call ended with."""
        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            raise NodeUnavailableError(f"the node at {self._address} ended the call early")
        raise grpc.aio.AioRpcError(
            code,
            await self._call.initial_metadata(),
            await self._call.trailing_metadata(),
            details=await self._call.details(),
            debug_error_string=None,
        )


@contextmanager
def _node_errors(address: str) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error, unavailable=NodeUnavailableError, address=f"the node at {address}") from error
