"""One render stream: what it brought, what it ordered, what goes back."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

from inference_node.engine.port import Engine
from inference_node.metrics import NodeMetrics
from inference_node.render.assembly import PIECE_BYTES
from inference_node.render.cache import BlobCache
from inference_node.render.intake import Intake, check_order
from inference_node.render.limits import StreamLimits
from inference_node.render.messages import (
    Accepted,
    Ack,
    CropChunk,
    JobSpec,
    Message,
    Need,
    Offer,
    Order,
    Piece,
    Progress,
    Rendered,
    Reply,
    SpeechChunk,
)
from inference_node.render.outbox import Outbox
from inference_node.render.queue import FairQueue
from inference_node.render.segment import SegmentResult, SegmentTask
from shared.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    NodeUnavailableError,
    QueueFullError,
    VisemeError,
)
from shared.telemetry import tracing
from shared.telemetry.logging import get_logger

_REPLIES = 64
_LOOKED_AT = 64
"""Parked orders that are looked at when something has arrived; the earliest are what matters."""
_RETRY_S = 2.0
_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ticket:
    """An order of a stream that waits to be rendered."""

    owner: "Session"
    task: SegmentTask
    offered_at: float
    trace: str = ""
    """Where in a trace the stream stands; empty where nobody traces."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Done:
    ticket: Ticket
    result: SegmentResult
    queue_s: float


class Session:
    """The node's side of one stream.

    Orders wait here (parked) until what they need has arrived, then in the queue that all streams share. At most
    ``stream_segments`` of them are in that queue, being rendered or waiting to be sent: that bounds memory, and keeps
    one stream from filling the queue. Once ``outbox_bytes`` of what was rendered wait, no more of it is rendered.
    """

    def __init__(
        self,
        spec: JobSpec,
        engine: Engine,
        *,
        node: str,
        cache: BlobCache,
        queue: FairQueue[Ticket],
        limits: StreamLimits,
        metrics: NodeMetrics,
    ) -> None:
        if spec.crop_px != engine.card.crop_px:
            raise InvalidInputError(
                f"The engine {engine.card.name} takes crops of {engine.card.crop_px} pixels, not {spec.crop_px}.",
                field="crop_px",
            )
        self.spec = spec
        self._engine = engine
        self._node = node
        self._cache = cache
        self._queue = queue
        self._limits = limits
        self._metrics = metrics
        self._intake = Intake(spec, limits)
        self._parked: dict[int, Order] = {}
        self._asked: set[int] = set()
        self._in_flight: dict[int, Ticket] = {}
        self._pins: dict[int, ExitStack] = {}
        self._unsent_bytes = 0
        self._inputs_over = False
        self._outbox: Outbox[Reply | _Done] = Outbox(limit=_REPLIES)
        self.working: set[asyncio.Task[None]] = set()
        """Tasks that render for this stream; they are cancelled with it."""

    async def replies(self, messages: AsyncIterator[Message]) -> AsyncGenerator[Reply, None]:
        """Read the stream and give back what goes to the edge, until all that was ordered is sent.

        Raises:
            VisemeError: the stream cannot go on.
        """
        accepted = Accepted(
            engine=self._engine.card.name, node=self._node, need_speech=self.spec.speech_digest not in self._cache
        )
        self._outbox.put(accepted)
        reader = asyncio.create_task(self._read(messages), name=f"read {self.spec.job_id}")
        reader.add_done_callback(self._reader_ended)
        with self._cache.pinned((self.spec.speech_digest,)):
            try:
                while (reply := await self._outbox.get()) is not None:
                    if isinstance(reply, _Done):
                        for piece in _pieces(reply):
                            yield piece
                        self._sent(reply)
                    else:
                        yield reply
            finally:
                await self._close(reader)

    def started(self, ticket: Ticket) -> None:
        """Rendering has begun."""
        self.progress(ticket, 0)

    def progress(self, ticket: Ticket, done_frames: int) -> None:
        """So many frames are rendered."""
        index = ticket.task.order.segment_index
        self._outbox.put(Progress(segment_index=index, done_frames=done_frames, queue_ahead=0))

    def finished(self, ticket: Ticket, result: SegmentResult, *, queue_s: float) -> None:
        """A segment is rendered."""
        self._unpin(ticket.task.order.segment_index)
        self._unsent_bytes += result.size_bytes
        self._outbox.put(_Done(ticket=ticket, result=result, queue_s=queue_s))

    def returned(self, ticket: Ticket) -> None:
        """Something that a segment needs was evicted: its order is parked again, and the crops asked for again."""
        order = ticket.task.order
        del self._in_flight[order.segment_index]
        self._unpin(order.segment_index)
        self._parked = {order.segment_index: order, **self._parked}
        if self.spec.speech_digest in self._cache:
            self._advance()
        else:
            self._outbox.close(_lost("speech"))

    def failed(self, error: BaseException) -> None:
        """A segment cannot be rendered, so the stream ends."""
        self._outbox.close(error)

    async def _read(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            match message:
                case SpeechChunk():
                    await self._take_speech(message)
                case Offer():
                    self._take_offer(message)
                case CropChunk():
                    await self._take_crop(message)
                case Order():
                    self._take_order(message)
                case Ack():
                    _LOG.debug("segment arrived", job=self.spec.job_id, segment=message.segment_index)
                case JobSpec():
                    raise InvalidInputError("The spec is sent once, first.", field="spec")
            self._advance()
            await self._outbox.room()
        self._inputs_over = True
        self._advance()

    def _reader_ended(self, reader: asyncio.Task[None]) -> None:
        if not reader.cancelled() and (error := reader.exception()) is not None:
            self._outbox.close(error)

    async def _take_speech(self, piece: SpeechChunk) -> None:
        self._metrics.received(len(piece.data))
        whole = self._intake.speech_piece(piece.offset, piece.data)
        if whole is not None:
            await self._cache.put(self.spec.speech_digest, whole)

    def _take_offer(self, offer: Offer) -> None:
        self._intake.offer(offer)
        needed = offer.digest not in self._cache
        if needed:
            self._asked.add(offer.crop_index)
        self._outbox.put(Need(crop_index=offer.crop_index, needed=needed))

    async def _take_crop(self, piece: CropChunk) -> None:
        self._metrics.received(len(piece.data))
        complete = self._intake.crop_piece(piece.crop_index, piece.offset, piece.data)
        if complete is not None:
            offer, whole = complete
            await self._cache.put(offer.digest, whole)
            self._asked.discard(offer.crop_index)

    def _take_order(self, order: Order) -> None:
        check_order(order, self._limits)
        if order.segment_index in self._parked or order.segment_index in self._in_flight:
            raise InvalidInputError(f"Segment {order.segment_index} is ordered twice.", field="order.segment_index")
        if len(self._parked) >= self._limits.max_parked_orders:
            raise LimitExceededError(
                f"{len(self._parked)} orders of this job wait already.", field="order", limit="max_parked_orders"
            )
        self._parked[order.segment_index] = order

    def _advance(self) -> None:
        """Move orders on whose needs are met; end the stream when it is done or can go no further."""
        if self._outbox.is_closed:
            return
        try:
            self._fill()
        except VisemeError as error:
            self._outbox.close(error)

    def _fill(self) -> None:
        candidates = iter(list(islice(self._parked.values(), _LOOKED_AT)))
        is_first = True
        while self._has_room and (order := next(candidates, None)) is not None:
            # Were more asked for that was evicted, it would drive out what the first waits for.
            task = self._task(order, ask=is_first)
            is_first = is_first and task is not None
            if task is not None and not self._submit(task):
                return
        if not self._inputs_over or self._in_flight:
            return
        if self._parked and self._asked:
            raise _lost("crop segments")
        if self._parked:
            index = next(iter(self._parked))
            raise ConflictError(f"Segment {index} was ordered, but not all that it needs was sent.", field="order")
        self._outbox.close()

    @property
    def _has_room(self) -> bool:
        limits = self._limits
        return len(self._in_flight) < limits.stream_segments and self._unsent_bytes < limits.outbox_bytes

    def _submit(self, task: SegmentTask) -> bool:
        ticket = Ticket(owner=self, task=task, offered_at=time.monotonic(), trace=tracing.traceparent())
        if not self._queue.offer(ticket):
            if not self._in_flight:
                raise QueueFullError(
                    f"{self._queue.limit} segments wait at the node {self._node}.",
                    limit="queue_segments",
                    retry_after_s=_RETRY_S,
                )
            return False
        index = task.order.segment_index
        # From now on: what has come together must not be evicted by what comes for those behind.
        self._pins[index] = ExitStack()
        self._pins[index].enter_context(self._cache.pinned(task.digests, soon_over=True))
        del self._parked[index]
        self._in_flight[index] = ticket
        self._outbox.put(Progress(segment_index=index, done_frames=0, queue_ahead=self._queue.ahead(ticket)))
        return True

    def _task(self, order: Order, *, ask: bool) -> SegmentTask | None:
        """The order with all that it refers to; None while something is missing (asked for again if evicted)."""
        faces = zip(order.source_frames, order.has_face, strict=True)
        places = tuple(self._intake.place(frame) if there else None for frame, there in faces)
        if any(there and place is None for there, place in zip(order.has_face, places, strict=True)):
            return None
        crops = self._intake.offers(place[0] for place in places if place is not None)
        if crops is None:
            return None
        references = self._intake.offers(order.reference_crops or crops) if crops else {}
        if references is None:
            return None
        task = SegmentTask(
            spec=self.spec,
            engine=self._engine,
            order=order,
            places=places,
            crops=crops,
            references=tuple(references[index] for index in sorted(references)),
        )
        if not crops:
            return task
        self._check_room(crops | references)
        return task if self._is_here(task, crops | references, ask=ask) else None

    def _check_room(self, offers: dict[int, Offer]) -> None:
        needed = self.spec.speech_bytes + sum(offer.size_bytes for offer in offers.values())
        if needed > self._cache.limit_bytes:
            message = f"One segment needs {needed} bytes in the node's cache, which may have {self._cache.limit_bytes}."
            raise LimitExceededError(message, field="order", limit="cache_bytes")

    def _is_here(self, task: SegmentTask, offers: dict[int, Offer], *, ask: bool) -> bool:
        missing = [index for index, offer in offers.items() if offer.digest not in self._cache]
        for index in missing:
            if ask and index not in self._asked:
                self._asked.add(index)
                self._outbox.put(Need(crop_index=index, needed=True))
        return not missing and task.spec.speech_digest in self._cache

    def _unpin(self, index: int) -> None:
        if (pins := self._pins.pop(index, None)) is not None:
            pins.close()

    def _sent(self, done: _Done) -> None:
        self._metrics.sent(done.result.size_bytes)
        self._unsent_bytes -= done.result.size_bytes
        del self._in_flight[done.ticket.task.order.segment_index]
        self._advance()

    async def _close(self, reader: asyncio.Task[None]) -> None:
        self._outbox.close()
        dropped = self._queue.drop(self)
        tasks = [reader, *self.working]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for index in tuple(self._pins):
            self._unpin(index)
        if dropped or self._parked or self._in_flight:
            _LOG.info("stream ended early", job=self.spec.job_id, queued=dropped, parked=len(self._parked))


def _lost(what: str) -> NodeUnavailableError:
    """What the edge counts on was evicted, and this stream can no longer carry it: the same call again helps."""
    return NodeUnavailableError(f"The node needs {what} again; make the same call again.", retry_after_s=0.5)


def _pieces(done: _Done) -> list[Piece]:
    result, index = done.result, done.ticket.task.order.segment_index
    complete = Rendered(
        digest=result.digest,
        size_bytes=result.size_bytes,
        patch=result.patch,
        masks=result.masks,
        lips=result.lips,
        queue_s=done.queue_s,
        infer_s=result.work_s,
    )
    offsets = range(0, max(result.size_bytes, 1), PIECE_BYTES)
    return [
        Piece(
            segment_index=index,
            offset=offset,
            data=result.data[offset : offset + PIECE_BYTES],
            complete=complete if offset == offsets[-1] else None,
        )
        for offset in offsets
    ]
