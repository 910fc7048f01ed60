"""Calls to a node, message by message."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import grpc

from edge_gateway.jobs.node import FromNode, Meter, ToNode
from edge_gateway.node_messages import answer_of, request_of
from shared.errors import NodeUnavailableError, VisemeError
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.rpc.channel import END, send
from shared.rpc.status import from_rpc_error

_CUT: Final = "the connection to the node was cut"

Call = grpc.aio.StreamStreamCall[Any, Any]


class NodeStream:
    """See :class:`edge_gateway.jobs.node.RenderStream`.

    Args:
        call: The open call.
        address: Where the node is, for people.
        meter: The job's bytes.
        on_up: Told the bytes of every message to the node, and the seconds that they waited for the link.
        on_down: Told the bytes of every message from it.
    """

    def __init__(
        self,
        call: Call,
        address: str,
        meter: Meter,
        on_up: Callable[[int, float], None],
        on_down: Callable[[int], None],
    ) -> None:
        self._call = call
        self._address = address
        self._meter = meter
        self._on_up = on_up
        self._on_down = on_down
        self._is_lost = False
        self._is_draining = False

    @property
    def address(self) -> str:
        """Where the node is, for people."""
        return self._address

    @property
    def is_draining(self) -> bool:
        """Whether the node has said that it is about to end."""
        return self._is_draining

    def lose(self) -> None:
        """End it here: its connection is dead."""
        self._is_lost = True
        self._call.cancel()

    async def send(self, message: ToNode) -> None:
        """Send one message; waits while the link is full."""
        request = request_of(message)
        begun = time.monotonic()
        with self._errors():
            if not await send(self._call, request):
                await self._raise_end()
        size = request.ByteSize()
        self._meter.up_bytes += size
        self._on_up(size, time.monotonic() - begun)

    async def receive(self) -> FromNode | None:
        """Wait for the next message; None when the node has said everything."""
        with self._errors():
            response: Any = await self._call.read()
            if response is END:
                if await self._call.code() is not grpc.StatusCode.OK:
                    await self._raise_end()
                return None
        size = response.ByteSize()
        self._meter.down_bytes += size
        self._on_down(size)
        self._is_draining = self._is_draining or response.draining
        return answer_of(response)

    async def end(self) -> None:
        """Say that nothing more will be sent."""
        with self._errors():
            try:
                await self._call.done_writing()
            except asyncio.InvalidStateError:
                await self._raise_end()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors of the call in our words; grpc tells of a call that we gave up as if this task were cancelled."""
        try:
            with node_errors(self._address):
                yield
        except (asyncio.CancelledError, VisemeError) as error:
            task = asyncio.current_task()
            if self._is_lost and not (task is not None and task.cancelling()):
                raise NodeUnavailableError(_CUT) from error
            raise

    async def _raise_end(self) -> None:
        if await self._call.code() is grpc.StatusCode.OK:
            raise NodeUnavailableError(f"the node at {self._address} ended the call early")
        await _raise_status(self._call)


class EchoCall:
    """See :class:`edge_gateway.link.Echo`."""

    def __init__(self, call: Call, address: str) -> None:
        self._call = call
        self._address = address

    async def send(self, piece: bytes) -> None:
        """Send one piece; waits while the link is full."""
        await send(self._call, pb.MeasureLinkRequest(filler=piece))

    async def end(self) -> None:
        """Say that nothing more will be sent."""
        with suppress(asyncio.InvalidStateError):  # it has ended; receiving tells how
            await self._call.done_writing()

    async def receive(self) -> int:
        """Wait for a piece to come back; gives its size, 0 at the end."""
        with node_errors(self._address):
            response: Any = await self._call.read()
            if response is not END:
                return len(response.filler)
            if await self._call.code() is not grpc.StatusCode.OK:
                await _raise_status(self._call)
            return 0


async def _raise_status(call: Call) -> None:
    """Raise what a call ended with."""
    raise grpc.aio.AioRpcError(
        await call.code(),
        await call.initial_metadata(),
        await call.trailing_metadata(),
        details=await call.details(),
        debug_error_string=None,
    )


@contextmanager
def node_errors(address: str) -> Iterator[None]:
    """Errors of calls to a node in our words."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error, unavailable=NodeUnavailableError, address=f"the node at {address}") from error
