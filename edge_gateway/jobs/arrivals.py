"""What comes of rendered segments, gathered piece by piece and looked at before it is believed.

A node that dies, damages or lies costs a retry or fails the job with words about the node; it never brings more into
memory than was ordered, and nothing onto the disk that could not be composited.
"""

import hashlib
import math
import time
from dataclasses import dataclass, field

from edge_gateway.jobs.node import RenderedCard, RenderedPiece
from shared.errors import InternalError, NodeUnavailableError


@dataclass(slots=True)
class _Arriving:
    data: bytearray = field(default_factory=bytearray)
    begun: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A whole segment."""

    card: RenderedCard
    data: bytes
    seconds: float
    """From its first piece to its last."""


class Arrivals:
    """The segments that are on their way in one call.

    Args:
        segment_bytes: Largest that is taken, and what all that are not whole may have together.
        crop_px: Side of the crops that were sent.
    """

    def __init__(self, *, segment_bytes: int, crop_px: int) -> None:
        self._segment_bytes = segment_bytes
        self._crop_px = crop_px
        self._arriving: dict[int, _Arriving] = {}
        self._bytes = 0

    def take(self, piece: RenderedPiece, frames: int) -> Arrived | None:
        """Take a piece of a segment of so many frames; gives the segment when it is whole.

        Raises:
            NodeUnavailableError: it was damaged on the way.
            InternalError: it is not what was ordered.
        """
        segment = piece.segment
        arriving = self._arriving.setdefault(segment, _Arriving())
        if piece.offset != len(arriving.data):
            raise InternalError(f"the node goes on with segment {segment} at {piece.offset}, not {len(arriving.data)}")
        if self._bytes + len(piece.data) > self._segment_bytes:
            message = (
                f"the node's rendered segment {segment} is larger than {self._segment_bytes} bytes,"
                " or is with others that are not whole"
            )
            raise InternalError(message, limit="node_segment_bytes")
        self._bytes += len(piece.data)
        arriving.data += piece.data
        if piece.card is None:
            return None
        data = bytes(arriving.data)
        del self._arriving[segment]
        self._bytes -= len(data)
        if len(data) != piece.card.size_bytes or hashlib.sha256(data).digest() != piece.card.digest:
            raise NodeUnavailableError(f"rendered segment {segment} was damaged on the way")
        self._check(segment, piece.card, frames)
        return Arrived(card=piece.card, data=data, seconds=time.monotonic() - arriving.begun)

    def _check(self, segment: int, card: RenderedCard, frames: int) -> None:
        if len(card.masks) != frames:
            raise InternalError(f"the node painted {len(card.masks)} of the {frames} frames of segment {segment}")
        lips = card.lips
        if any(len(told) not in (0, frames) for told in (lips.seen, lips.asked, lips.fates)):
            raise InternalError(f"the node tells of other lips than those of the {frames} frames of segment {segment}")
        x, y, width, height = card.patch
        is_within = min(x, y, width, height) >= 0 and max(x + width, y + height) <= self._crop_px
        is_told = all(math.isfinite(value) for mask in (*card.masks, lips.seen, lips.asked) for value in mask)
        if not is_within or not is_told:
            raise InternalError(f"the node painted segment {segment} beyond the crop")
