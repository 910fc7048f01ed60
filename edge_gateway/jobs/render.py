"""The render leg of a job: one stream to the node, opened again after every cut, until every segment is on disk."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_gateway.failures import one_error
from edge_gateway.jobs.arrivals import Arrivals, Arrived
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.faces import Face
from edge_gateway.jobs.files import JobFiles, Speech
from edge_gateway.jobs.job import Notice, Progress, Severity, Stage
from edge_gateway.jobs.node import (
    Accepted,
    CropNeed,
    CropOffer,
    CropPiece,
    FromNode,
    InferenceNode,
    RenderedPiece,
    RenderSpec,
    RenderStream,
    SegmentAck,
    SegmentOrder,
    SegmentProgress,
    SpeechPiece,
)
from edge_gateway.jobs.orders import Orders, Window
from edge_gateway.jobs.patience import Patience
from edge_gateway.jobs.usage import Usage
from shared.errors import (
    DeadlineError,
    DiskFullError,
    InternalError,
    NodeUnavailableError,
    ResourceExhaustedError,
    UnavailableError,
    VisemeError,
)
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_END_S = 2.0
"""Seconds for which a node may keep a call open to which nothing more belongs."""
_ASKS = 64
"""How often a node may ask for one crop segment, since it evicted it, before anything is rendered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    """How the edge deals with the node."""

    window: int
    """Segments that may be ordered and not yet be on disk."""
    window_bytes: int
    """Bytes of crops and rendered segments that may be under way."""
    piece_bytes: int
    """Bytes of speech or crop in one message."""
    segment_bytes: int
    """Largest rendered segment that is taken, and what may have arrived of all that are not whole."""
    patience_s: float
    """Seconds without any progress after which a job fails, though a node answers."""
    outage_s: float
    """Seconds for which no node may answer at all before it fails."""
    silence_s: float
    """Seconds after which a node that owes segments and says nothing is given up."""


class Told(Protocol):
    """Where progress goes."""

    def set(self, progress: Progress) -> None:
        """A stage has come further."""
        ...


class RenderLeg:
    """Gets the missing segments of one job rendered.

    Args:
        node: Who renders.
        spec: What the job needs.
        speech: The encoded speech.
        face: The crops.
        files: Where rendered segments go.
        orders: What is missing.
        usage: The job's figures.
        journal: Where notices go.
        board: Where progress goes.
        settings: Windows and patience.
        on_rendered: Told of every segment that is on disk.
    """

    def __init__(
        self,
        *,
        node: InferenceNode,
        spec: RenderSpec,
        speech: Speech,
        face: Face,
        files: JobFiles,
        orders: Orders,
        usage: Usage,
        journal: Journal,
        board: Told,
        settings: RenderSettings,
        on_rendered: Callable[[int], None],
    ) -> None:
        self._node = node
        self._spec = spec
        self._speech = speech
        self._face = face
        self._files = files
        self._orders = orders
        self._usage = usage
        self._journal = journal
        self._board = board
        self._settings = settings
        self._on_rendered = on_rendered
        self._patience = Patience(settings.patience_s, settings.outage_s)
        self._partial: dict[int, int] = {}
        self._sent_bytes = 0
        self._told: tuple[str, str, list[int]] | None = None
        self._voice = spec.speech_digest.hex()
        self._at = node.address
        self._left = ""
        self.engine = spec.engine
        """The engine that renders, as the node says."""

    async def run(self) -> None:
        """Work until every order is met.

        Raises:
            VisemeError: the node refused, or was not there for longer than patience lasts.
        """
        while True:
            async with self._orders.change:
                await self._orders.change.wait_for(lambda: self._orders.missing or self._orders.is_whole)
            if self._orders.is_done:
                return
            call = _Call(self)
            try:
                async with self._node.render(self._usage.meter, self._spec.engine) as stream:
                    self._at = stream.address
                    await call.run(stream)
            except DiskFullError:
                raise
            except (UnavailableError, ResourceExhaustedError, DeadlineError) as error:
                self._usage.owed -= {(self._voice, segment) for segment in call.ordered}
                self._usage.arriving.discard(self._voice)
                await self._wait(error, call.ordered)

    async def _wait(self, error: VisemeError, ordered: set[int]) -> None:
        """Say what is waited for, and wait before the next try; another node is tried at once."""
        again = sorted(ordered & self._orders.missing.keys())
        is_full = isinstance(error, ResourceExhaustedError)
        goes_elsewhere = (is_full or error.retry_after_s is None) and self._node.has_another(self._at)
        if self._patience.is_new:
            begin = "Leaving" if goes_elsewhere else "Waiting for"
            which = f" {len(again)} segments that were in flight will be ordered again." if again else ""
            message = f"{begin} the node at {self._at}: {error.message.rstrip('.')}.{which}"
            await self._journal.record(
                self._spec.job_id, Notice(severity=Severity.WARNING, reason=error.reason, message=message)
            )
        told = (error.reason, error.message, again)
        if told != self._told:
            # In a long outage every try ends alike: one line for all of them.
            self._told = told
            _LOG.warning(
                "render stream ended",
                job_id=self._spec.job_id,
                node=self._at,
                reason=error.reason,
                error=error.message,
                again=again,
            )
        self._left = self._left or self._at
        # A node that fails is not ready for a while, so that this ends even where one after the other does.
        await self._patience.wait(error, at_once=goes_elsewhere, is_absent=not self._node.is_up)

    async def recovered(self, node: str) -> None:
        """A node works again: say so if somebody was told to wait."""
        self._told = None
        left, self._left = self._left, ""
        if self._patience.calm():
            count, moved = len(self._orders.missing), left != self._at
            done = "goes on with the job" if moved else "renders again"
            message = f"The node {node} at {self._at} {done}; {count} segments are ordered anew."
            _LOG.info("render stream taken up", job_id=self._spec.job_id, node=self._at, missing=count)
            reason = "node_changed" if moved else "node_resumed"
            notice = Notice(severity=Severity.INFO, reason=reason, message=message)
            await self._journal.record(self._spec.job_id, notice)

    def progressed(self, told: SegmentProgress) -> None:
        """A segment has come further."""
        order = self._orders.missing.get(told.segment)
        if order is None:
            return
        done = min(told.done_frames, len(order.source_frames))
        if done > self._partial.get(told.segment, 0):
            self._patience.reset()
        self._partial[told.segment] = done
        self._tell_frames()

    def sent(self, count: int) -> None:
        """Bytes of speech or crops have gone."""
        self._sent_bytes += count
        self._board.set(Progress(stage=Stage.SEND, done_bytes=self._sent_bytes))

    def ordered(self, segment: int) -> None:
        """The node owes a segment."""
        self._usage.owed.add((self._voice, segment))

    def arriving(self, *, is_whole: bool) -> None:
        """A piece of a segment has come, or its last."""
        (self._usage.arriving.discard if is_whole else self._usage.arriving.add)(self._voice)

    async def keep(self, order: SegmentOrder, arrived: Arrived) -> None:
        """A whole segment has come: put it on disk."""
        segment, card, seconds = order.segment, arrived.card, arrived.seconds
        self._usage.owed.discard((self._voice, segment))
        await asyncio.to_thread(self._files.put_rendered, segment, card, arrived.data)
        await asyncio.to_thread(self._files.write_json, "usage.json", self._usage.to_json())
        self._usage.ended(Stage.RETURN, seconds)
        self._usage.ended(Stage.INFER, card.infer_s, seconds)
        self._usage.ended(Stage.QUEUE, card.queue_s, seconds + card.infer_s)
        async with self._orders.change:
            del self._orders.missing[segment]
            self._partial.pop(segment, None)
            self._orders.frames_done += len(order.source_frames)
            self._orders.change.notify_all()
        self._patience.reset()
        self._tell_frames()
        self._on_rendered(segment)

    def _tell_frames(self) -> None:
        done = self._orders.frames_done + sum(self._partial.values())
        self._board.set(Progress(stage=Stage.INFER, done_frames=done, total_frames=self._orders.frames_in_all))

    # What one call needs of its leg.
    @property
    def parts(self) -> tuple[RenderSpec, Speech, Face, Orders, RenderSettings]:
        """What is sent, and how."""
        return self._spec, self._speech, self._face, self._orders, self._settings

    @property
    def usage(self) -> Usage:
        """The job's figures."""
        return self._usage


class _Call:
    """One ``Render`` call: a task that sends, one that receives, one that watches for silence."""

    def __init__(self, leg: RenderLeg) -> None:
        self._leg = leg
        self._spec, self._speech, self._face, self._orders, self._settings = leg.parts
        self.ordered: set[int] = set()
        self._offered: set[int] = set()
        self._window = Window(segments=self._settings.window, size_bytes=self._settings.window_bytes)
        self._needed: deque[int] = deque()
        self._asked: Counter[int] = Counter()
        self._acks: deque[int] = deque()
        self._accepted: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._arrivals = Arrivals(segment_bytes=self._settings.segment_bytes, crop_px=self._spec.crop_px)
        self._heard_at = time.monotonic()
        self._is_over = False
        self._drains = False

    async def run(self, stream: RenderStream) -> None:
        """Work until every order is met or the call breaks."""
        with one_error():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(stream))
                receiving = tasks.create_task(self._receive(stream))
                watch = tasks.create_task(self._watch(receiving))
                await asyncio.wait({receiving})
                watch.cancel()

    async def _watch(self, receiving: asyncio.Task[None]) -> None:
        limit = self._settings.silence_s
        while True:
            if self._is_over:
                await asyncio.sleep(_END_S)
                receiving.cancel()  # there is nothing more that the node could say
                return
            owes = bool(self.ordered & self._orders.missing.keys()) or not self._accepted.done()
            if not owes:
                self._heard_at = time.monotonic()
            silent = time.monotonic() - self._heard_at
            if silent >= limit:
                raise NodeUnavailableError(f"the node has said nothing for {limit:g} s")
            await asyncio.sleep(min(1.0, limit - silent))

    async def _send(self, stream: RenderStream) -> None:
        await stream.send(self._spec)
        accepted = await self._accepted
        self._leg.engine = accepted.engine
        if accepted.need_speech:
            await self._send_bytes(stream, self._speech.data, lambda at, data: SpeechPiece(offset=at, data=data))
        while True:
            async with self._orders.change:
                await self._orders.change.wait_for(self._has_work)
            if self._orders.is_done:
                await self._send_acks(stream)
                await stream.end()
                self._is_over = True
                return
            await self._send_acks(stream)
            order = self._next_order()
            if order is not None:
                await self._send_order(stream, order)
            elif self._needed:
                await self._send_crop(stream, self._needed.popleft())

    def _has_work(self) -> bool:
        return bool(self._acks or self._needed or self._orders.is_done or self._next_order() is not None)

    def _next_order(self) -> SegmentOrder | None:
        if self._drains:
            return None
        order = next((order for segment, order in self._orders.missing.items() if segment not in self.ordered), None)
        if order is None:
            return None
        crop_bytes = sum(self._face.crops[index].size_bytes for index in self._wanted(order) - self._offered)
        under_way = len(self.ordered & self._orders.missing.keys())
        return order if self._window.has_room(under_way, crop_bytes) else None

    def _wanted(self, order: SegmentOrder) -> set[int]:
        return {self._face.crop_of(frame).index for frame in order.source_frames} | set(order.reference_crops)

    async def _send_order(self, stream: RenderStream, order: SegmentOrder) -> None:
        for index in sorted(self._wanted(order) - self._offered):
            crop = self._face.crops[index]
            self._offered.add(index)
            self._window.offered(index, crop.size_bytes)
            await stream.send(
                CropOffer(
                    index=index,
                    digest=crop.digest,
                    size_bytes=crop.size_bytes,
                    first_frame=crop.first_frame,
                    frame_count=crop.frame_count,
                    lead=crop.lead,
                    trail=crop.trail,
                )
            )
        self._heard_at = time.monotonic()
        self.ordered.add(order.segment)
        self._leg.ordered(order.segment)
        await stream.send(order)

    async def _send_acks(self, stream: RenderStream) -> None:
        while self._acks:
            await stream.send(SegmentAck(segment=self._acks.popleft()))

    async def _send_crop(self, stream: RenderStream, index: int) -> None:
        data = await asyncio.to_thread(self._face.read_crop, index)
        await self._send_bytes(stream, data, lambda at, piece: CropPiece(index=index, offset=at, data=piece))
        self._window.settled(index)

    async def _send_bytes(
        self, stream: RenderStream, data: bytes, piece_of: Callable[[int, bytes], SpeechPiece | CropPiece]
    ) -> None:
        size = self._settings.piece_bytes
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            with self._leg.usage.at_work(Stage.SEND):
                await stream.send(piece_of(at, piece))
            self._heard_at = time.monotonic()
            self._leg.sent(len(piece))
            await self._send_acks(stream)

    async def _receive(self, stream: RenderStream) -> None:
        while (message := await stream.receive()) is not None:
            self._heard_at = time.monotonic()
            await self._take(message)
            if stream.is_draining and not self._orders.is_done:
                self._drains = True
                if not self.ordered & self._orders.missing.keys():
                    raise NodeUnavailableError("the node is about to end and has rendered all that was ordered")
        if not self._orders.is_done:
            raise NodeUnavailableError("the node ended the call early")

    async def _take(self, message: FromNode) -> None:
        match message:
            case Accepted():
                if not self._accepted.done():
                    self._accepted.set_result(message)
                await self._leg.recovered(message.node)
            case CropNeed():
                await self._take_need(message)
            case SegmentProgress():
                self._leg.progressed(message)
            case RenderedPiece():
                await self._take_piece(message)

    async def _take_need(self, need: CropNeed) -> None:
        if need.index not in self._offered:
            raise InternalError(f"the node asks for crop segment {need.index}, which nobody offered")
        if not need.needed:
            self._window.settled(need.index)
            await self._notify()
        if not need.needed or need.index in self._needed:
            return
        self._asked[need.index] += 1
        if self._asked[need.index] > _ASKS:
            raise InternalError(f"the node asks for crop segment {need.index} again and again and renders nothing")
        self._needed.append(need.index)
        await self._notify()

    async def _take_piece(self, piece: RenderedPiece) -> None:
        if piece.segment not in self.ordered:
            raise InternalError(f"the node rendered segment {piece.segment}, which nobody ordered")
        order = self._orders.missing.get(piece.segment)
        arrived = order and self._arrivals.take(piece, len(order.source_frames))
        self._leg.arriving(is_whole=arrived is not None)
        if order and arrived:
            self._window.rendered(len(arrived.data))
            self._asked.clear()
            await self._leg.keep(order, arrived)
            self._acks.append(piece.segment)
            await self._notify()

    async def _notify(self) -> None:
        async with self._orders.change:
            self._orders.change.notify_all()
