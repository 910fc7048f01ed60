"""Putting crops together to segments of about equal time, each with its context.

A segment ends where another scene begins, and has no context from there: whoever smooths over its frames smooths over
neighbours alone.
"""

from dataclasses import dataclass
from typing import Final

from edge_gateway.face.crop import CropBox
from shared.media.planes import Planes

CONTEXT_FRAMES: Final = 2
"""Frames before and after a segment that it also carries, so that its landmarks can be smoothed alone."""
SEGMENT_FRAMES: Final = 240
"""A segment is ended after so many frames even where its time is not over."""
LEAST_US: Final = 250_000
"""A scene that is shorter stays in a segment with the next: what the node may hold for one order is bounded."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """What was cut out of one frame."""

    time_us: int
    box: CropBox
    planes: Planes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """Consecutive crops; the first ``lead`` and the last ``trail`` of ``crops`` are context."""

    index: int
    first_frame: int
    lead: int
    trail: int
    crops: list[Crop]

    @property
    def own(self) -> list[Crop]:
        """The crops that this segment stands for."""
        return self.crops[self.lead : len(self.crops) - self.trail]


class Segmenter:
    """Collects crops; where segments begin depends on the frames' times and scenes alone."""

    def __init__(self, *, length_us: int) -> None:
        self._length_us = length_us
        self._held: list[Crop] = []
        self._base = 0  # the frame of the first crop held
        self._begins = [0]  # of the segments that are not closed
        self._begin_us = 0
        self._index = 0

    def push(self, crop: Crop) -> list[Segment]:
        """Take the next frame's crop; give the segments that are complete with it."""
        frame = self._base + len(self._held)
        if frame == 0:
            self._begin_us = crop.time_us
        elif self._is_full(crop, frame):
            self._begins.append(frame)
            self._begin_us = crop.time_us
        self._held.append(crop)
        complete = []
        while len(self._begins) > 1 and frame + 1 >= self._begins[1] + CONTEXT_FRAMES:
            complete.append(self._close())
        return complete

    def _is_full(self, crop: Crop, frame: int) -> bool:
        lasted = crop.time_us - self._begin_us
        is_cut = bool(self._held) and crop.box.scene != self._held[-1].box.scene and lasted >= LEAST_US
        return is_cut or lasted >= self._length_us or frame - self._begins[-1] >= SEGMENT_FRAMES

    def finish(self) -> list[Segment]:
        """Give the segments that are left; no more crops will come."""
        frames = self._base + len(self._held)
        if frames:
            self._begins.append(frames)
        return [self._close() for _ in range(len(self._begins) - 1)]

    def _context(self, edge: int, step: int, most: int) -> int:
        """How many of the frames beside a segment's first or last are of its scene."""
        scene = self._held[edge - self._base].box.scene
        for count in range(most):
            if self._held[edge + step * (count + 1) - self._base].box.scene != scene:
                return count
        return most

    def _close(self) -> Segment:
        begin, end = self._begins[0], self._begins[1]
        lead = self._context(begin, -1, min(CONTEXT_FRAMES, begin))
        trail = self._context(end - 1, 1, min(CONTEXT_FRAMES, self._base + len(self._held) - end))
        crops = self._held[begin - lead - self._base : end + trail - self._base]
        segment = Segment(index=self._index, first_frame=begin, lead=lead, trail=trail, crops=crops)
        self._index += 1
        del self._begins[0]
        kept = max(0, end - CONTEXT_FRAMES)
        del self._held[: kept - self._base]
        self._base = kept
        return segment
