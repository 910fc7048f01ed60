"""What a stream has brought: its speech, the crop segments that it offers, and which source frame is in which."""

from bisect import bisect_right, insort
from collections.abc import Iterable

from inference_node.render.assembly import Assembly
from inference_node.render.limits import StreamLimits
from inference_node.render.messages import JobSpec, Offer, Order
from shared.errors import InvalidInputError, LimitExceededError

_DIGEST_BYTES = 32


class Intake:
    """Keeps account of what was announced and what is arriving.

    Args:
        spec: What the job needs.
        limits: What it may ask for.
    """

    def __init__(self, spec: JobSpec, limits: StreamLimits) -> None:
        check_spec(spec, limits)
        self._limits = limits
        self._offers: dict[int, Offer] = {}
        self._by_frame: list[tuple[int, int]] = []
        self._arriving: dict[int, Assembly] = {}
        self._speech = Assembly(spec.speech_digest, spec.speech_bytes, field="speech")

    def offer(self, offer: Offer) -> None:
        """Take note of a crop segment.

        Raises:
            InvalidInputError: it contradicts itself or what was offered before.
            LimitExceededError: it is beyond a limit.
        """
        limits = self._limits
        _check_digest(offer.digest, field="crop.digest")
        _check(offer.size_bytes, limits.max_crop_bytes, field="crop.size_bytes", limit="max_crop_bytes")
        _check(offer.frame_count, limits.max_segment_frames, field="crop.frame_count", limit="max_segment_frames")
        context = max(offer.lead_frames, offer.trail_frames)
        _check(context, limits.max_context_frames, field="crop.lead_frames", limit="max_context_frames", least=0)
        known = self._offers.get(offer.crop_index)
        if known is not None:
            if known != offer:
                raise InvalidInputError(f"Crop segment {offer.crop_index} is offered twice, differently.", field="crop")
            return
        _check(len(self._offers) + 1, limits.max_crop_segments, field="crop", limit="max_crop_segments")
        self._offers[offer.crop_index] = offer
        insort(self._by_frame, (offer.first_frame, offer.crop_index))

    def crop_piece(self, crop_index: int, offset: int, data: bytes) -> tuple[Offer, bytes] | None:
        """Add a piece of a crop segment; gives the segment once it is complete and verified."""
        offer = self._offers.get(crop_index)
        if offer is None:
            raise InvalidInputError(
                f"A piece of crop segment {crop_index} arrives, which was not offered.", field="crop"
            )
        assembly = self._arriving.get(crop_index)
        if assembly is None:
            _check(len(self._arriving) + 1, self._limits.max_open_crops, field="crop", limit="max_open_crops")
            arriving = offer.size_bytes + sum(self._offers[index].size_bytes for index in self._arriving)
            _check(arriving, self._limits.max_open_bytes, field="crop", limit="max_open_bytes")
            assembly = self._arriving[crop_index] = Assembly(offer.digest, offer.size_bytes, field="crop")
        whole = assembly.add(offset, data)
        if whole is None:
            return None
        del self._arriving[crop_index]
        return offer, whole

    def speech_piece(self, offset: int, data: bytes) -> bytes | None:
        """Add a piece of the speech; gives the speech once it is complete and verified."""
        return self._speech.add(offset, data)

    def place(self, frame: int) -> tuple[int, int] | None:
        """Which crop segment a source frame is in, and where in it; None while none is offered."""
        at = bisect_right(self._by_frame, (frame, 1 << 62)) - 1
        if at < 0:
            return None
        first, index = self._by_frame[at]
        inside = frame - first
        return (index, inside) if inside < self._offers[index].frame_count else None

    def offers(self, indices: Iterable[int]) -> dict[int, Offer] | None:
        """The offers of these crop segments; None while one of them is not there.

        Raises:
            LimitExceededError: there are more than may be in memory for one order.
        """
        wanted = {index: self._offers.get(index) for index in indices}
        _check(len(wanted), self._limits.max_order_crops, field="order", limit="max_order_crops", least=0)
        found = {index: offer for index, offer in wanted.items() if offer is not None}
        return found if len(found) == len(wanted) else None


def check_spec(spec: JobSpec, limits: StreamLimits) -> None:
    """Refuse a spec that contradicts itself or a limit."""
    _check(len(spec.job_id), limits.max_name_length, field="job_id", limit="max_name_length", least=0)
    _check_digest(spec.speech_digest, field="speech_digest")
    _check(spec.speech_bytes, limits.max_speech_bytes, field="speech", limit="max_speech_bytes")


def check_order(order: Order, limits: StreamLimits) -> None:
    """Refuse an order that contradicts itself or a limit."""
    count = len(order.source_frames)
    _check(count, limits.max_segment_frames, field="order.source_frames", limit="max_segment_frames")
    if len(order.times_us) != count or len(order.has_face) != count:
        raise InvalidInputError(f"The order has {count} frames but not as many times or faces.", field="order.times_us")
    _check(order.segment_index, limits.max_segments, field="order.segment_index", limit="max_segments", least=0)
    references = len(order.reference_crops)
    _check(references, limits.max_order_crops, field="order.reference_crops", limit="max_order_crops", least=0)
    if any(later <= earlier for earlier, later in zip(order.times_us, order.times_us[1:], strict=False)):
        raise InvalidInputError("The frames' times do not rise.", field="order.times_us")


def _check_digest(digest: bytes, *, field: str) -> None:
    if len(digest) != _DIGEST_BYTES:
        raise InvalidInputError(f"A digest has {_DIGEST_BYTES} bytes, not {len(digest)}.", field=field)


def _check(value: int, most: int, *, field: str, limit: str, least: int = 1) -> None:
    if value < least:
        raise InvalidInputError(f"{value} is too few; at least {least}.", field=field)
    if value > most:
        raise LimitExceededError(f"{value} is beyond what the node takes ({limit}: {most}).", field=field, limit=limit)
