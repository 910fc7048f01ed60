"""An inference node over gRPC: one connection for media, another for questions, so that bulk never holds these up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import grpc

from edge_gateway.jobs.node import (
    Accepted,
    CropNeed,
    CropOffer,
    CropPiece,
    EngineCard,
    FromNode,
    Meter,
    NodeStatus,
    RenderedCard,
    RenderedPiece,
    RenderSpec,
    RenderStream,
    SegmentAck,
    SegmentOrder,
    SegmentProgress,
    SpeechPiece,
    ToNode,
)
from shared.errors import InternalError, NodeUnavailableError, VisemeError
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceStub
from shared.rpc.address import Address
from shared.rpc.channel import END, open_channel
from shared.rpc.status import from_rpc_error
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_STATUS_S: Final = 5.0
_READY: Final = frozenset({pb.TRITON_STATE_READY, pb.TRITON_STATE_LOCAL})
_MATRICES: Final = {
    "bt601": pb.COLOR_MATRIX_BT601,
    "bt709": pb.COLOR_MATRIX_BT709,
    "bt2020": pb.COLOR_MATRIX_BT2020,
    # All but the same; the node goes there and back by one matrix, so nothing shifts.
    "fcc": pb.COLOR_MATRIX_BT601,
    "smpte240m": pb.COLOR_MATRIX_BT709,
}

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
        self._address = str(address)
        self._media = open_channel(address, own_connection=True)
        self._control = open_channel(address, own_connection=True)
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
            yield node
        finally:
            await node._media.close(None)
            await node._control.close(None)

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
        try:
            yield _Stream(call, self._address, meter, self._on_up, self._on_down)
        finally:
            call.cancel()


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

    async def send(self, message: ToNode) -> None:
        request = _request(message)
        with _node_errors(self._address):
            try:
                await self._call.write(request)
            except asyncio.InvalidStateError:
                await self._raise_end()
        size = request.ByteSize()
        self._meter.up_bytes += size
        self._on_up(size)

    async def receive(self) -> FromNode | None:
        with _node_errors(self._address):
            response: Any = await self._call.read()
            if response is END:
                if await self._call.code() is not grpc.StatusCode.OK:
                    await self._raise_end()
                return None
        size = response.ByteSize()
        self._meter.down_bytes += size
        self._on_down(size)
        return _answer(response)

    async def end(self) -> None:
        with _node_errors(self._address):
            try:
                await self._call.done_writing()
            except asyncio.InvalidStateError:
                await self._raise_end()

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


def _request(message: ToNode) -> pb.RenderRequest:
    match message:
        case RenderSpec():
            spec = pb.RenderSpec(
                job_id=message.job_id,
                engine=message.engine,
                crop_px=message.crop_px,
                color_matrix=_MATRICES.get(message.matrix, pb.COLOR_MATRIX_BT601),
                full_range=message.full_range,
                speech_digest=message.speech_digest,
                speech_bytes=message.speech_bytes,
                total_segments=message.total_segments,
            )
            return pb.RenderRequest(spec=spec)
        case SpeechPiece():
            return pb.RenderRequest(speech=pb.SpeechPiece(offset_bytes=message.offset, data=message.data))
        case CropOffer():
            offer = pb.CropOffer(
                crop_index=message.index,
                digest=message.digest,
                size_bytes=message.size_bytes,
                first_frame=message.first_frame,
                frame_count=message.frame_count,
                lead_frames=message.lead,
                trail_frames=message.trail,
            )
            return pb.RenderRequest(offer=offer)
        case CropPiece():
            piece = pb.CropPiece(crop_index=message.index, offset_bytes=message.offset, data=message.data)
            return pb.RenderRequest(crop=piece)
        case SegmentOrder():
            order = pb.SegmentOrder(
                segment_index=message.segment,
                source_frames=message.source_frames,
                times_us=message.times_us,
                has_face=() if all(message.has_face) else message.has_face,
                reference_crops=message.reference_crops,
            )
            return pb.RenderRequest(order=order)
        case SegmentAck():
            return pb.RenderRequest(ack=pb.SegmentAck(segment_index=message.segment))


def _answer(response: pb.RenderResponse) -> FromNode:
    match response.WhichOneof("message"):
        case "accepted":
            accepted = response.accepted
            return Accepted(engine=accepted.engine, node=accepted.node, need_speech=accepted.need_speech)
        case "need":
            return CropNeed(index=response.need.crop_index, needed=response.need.needed)
        case "progress":
            told = response.progress
            return SegmentProgress(
                segment=told.segment_index, done_frames=told.done_frames, queue_ahead=told.queue_ahead
            )
        case "rendered":
            piece = response.rendered
            card = _card(piece.complete) if piece.HasField("complete") else None
            return RenderedPiece(segment=piece.segment_index, offset=piece.offset_bytes, data=piece.data, card=card)
        case _:
            raise InternalError("the node said something that this edge does not know; it has another version")


def _card(told: pb.RenderedSegment) -> RenderedCard:
    patch = told.patch
    return RenderedCard(
        digest=told.digest,
        size_bytes=told.size_bytes,
        patch=(patch.x, patch.y, patch.width, patch.height),
        masks=tuple(
            (mask.center_x, mask.center_y, mask.radius_x, mask.radius_y, mask.angle, mask.feather)
            for mask in told.masks
        ),
        queue_s=told.queue_time.ToNanoseconds() / 1e9,
        infer_s=told.infer_time.ToNanoseconds() / 1e9,
    )
