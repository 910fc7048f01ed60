"""The square box that is cut around the face: calm, and as large with the mouth open as with it closed."""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.face.mesh import Points, roi_from_points

REACH_US: Final = 400_000
"""How far a frame's box looks before and after it."""
GAP_US: Final = 200_000
"""A face that is missing for no longer than this is taken to have been there."""

_LEAST_WEIGHT: Final = 1e-6
"""Of a frame at the very end of the window, so that there is always one to go by."""
_MOST_LEAN: Final = np.radians(45)
"""Faces that lean further are left as they are: in an upright crop their points are not found reliably."""
_JUMP: Final = 0.35
"""A face that moves by more than this share of its height between two frames is behind a cut."""
_GROWTH: Final = 1.3

# Points that do not move with the jaw: brow line, corners of the eyes, nose, temples.
_RIGID: Final = (10, 109, 338, 67, 297, 33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 2, 98, 327, 127, 356, 234, 454)
_UPPER: Final = (10, 109, 338, 67, 297)
_LOWER: Final = (2, 98, 327, 4, 5)
# With the mouth closed, over five people: face height (10 to 152) over the spread of the rigid points in space, and
# how far down from the brow line towards the nose's base the middle of the face lies.
_HEIGHT_OVER_SPREAD: Final = 2.85
_MIDDLE: Final = 0.87


@dataclass(frozen=True, slots=True, kw_only=True)
class CropBox:
    """An upright square around the face in pixels of the frame: centre and side. It may reach beyond the frame.

    ``has_face`` is true where the square holds a face whose mouth can be painted.
    """

    cx: float
    cy: float
    side: float
    has_face: bool
    scene: int = 0
    """Frames of different scenes are no neighbours: a cut lies between them, or another face is followed."""
    who: int = 0
    """Whose face it is, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    time_us: int
    scene: int
    who: int
    box: npt.NDArray[np.float64] | None
    paintable: bool


class CropTrack:
    """Turns the points of each frame into smoothed boxes, which come out as soon as their window is complete.

    Args:
        crop_scale: Side of the box over the face's height (10 to 152, mouth closed).
        width: Width of the video's frames in pixels.
        height: Height of the video's frames in pixels.
        held_frames: At most so many frames wait for their window to fill.
    """

    def __init__(self, *, crop_scale: float, width: int, height: int, held_frames: int) -> None:
        self._crop_scale = crop_scale
        self._held_frames = held_frames
        self._past: deque[_Frame] = deque()
        self._waiting: deque[_Frame] = deque()
        self._scene = 0
        self._seen: _Frame | None = None
        self._last = CropBox(cx=width / 2, cy=height / 2, side=float(min(width, height)), has_face=False)

    def push(self, time_us: int, points: Points | None, *, cut: bool, who: int = 0) -> list[CropBox]:
        """Take the next frame's points ([468, 3], None without a face); give the boxes of frames now complete."""
        box = None if points is None else self._measured(points)
        paintable = points is not None and bool(abs(roi_from_points(points).angle) <= _MOST_LEAN)
        frame = _Frame(time_us=time_us, scene=self._scene, who=who, box=box, paintable=paintable)
        if cut or self._jumped(frame):
            self._scene += 1
            frame = replace(frame, scene=self._scene)
        if frame.box is not None:
            self._seen = frame
        self._waiting.append(frame)
        complete = []
        while self._is_complete(self._waiting[0]):
            complete.append(self._emit())
        return complete

    def finish(self) -> list[CropBox]:
        """Give the boxes of the frames that still wait; no more will come."""
        return [self._emit() for _ in range(len(self._waiting))]

    def _measured(self, points: Points) -> npt.NDArray[np.float64]:
        rigid = points[list(_RIGID)].astype(np.float64)
        spread = float(np.sqrt(np.square(rigid - rigid.mean(axis=0)).sum(axis=1).mean()))
        upper, lower = points[list(_UPPER), :2].mean(axis=0), points[list(_LOWER), :2].mean(axis=0)
        cx, cy = upper + (lower - upper) * _MIDDLE
        return np.array([cx, cy, spread * _HEIGHT_OVER_SPREAD * self._crop_scale])

    def _jumped(self, frame: _Frame) -> bool:
        seen = self._seen
        if seen is None or seen.box is None or frame.box is None or seen.scene != frame.scene:
            return False
        height = min(seen.box[2], frame.box[2]) / self._crop_scale
        pace = max(1.0, (frame.time_us - seen.time_us) / 50_000)
        growth = max(seen.box[2] / frame.box[2], frame.box[2] / seen.box[2])
        moved = float(np.abs(frame.box[:2] - seen.box[:2]).max())
        return moved > _JUMP * height * pace or bool(growth > _GROWTH**pace)

    def _is_complete(self, frame: _Frame) -> bool:
        newest = self._waiting[-1]
        if frame is newest:
            return False
        later = newest.time_us - frame.time_us
        return newest.scene != frame.scene or later >= REACH_US or len(self._waiting) > self._held_frames

    def _emit(self) -> CropBox:
        frame = self._waiting.popleft()
        window = [other for other in (*self._past, frame, *self._waiting) if other.scene == frame.scene]
        seen = [other for other in window if other.box is not None and abs(other.time_us - frame.time_us) <= REACH_US]
        if seen:
            boxes = np.array([other.box for other in seen])
            away = np.array([other.time_us - frame.time_us for other in seen]) / REACH_US
            weights = 1 + np.cos(np.pi * away) + _LEAST_WEIGHT
            # Rounded, so that what is told of the box in text is the very box that was cut.
            cx, cy, side = (round(float(value), 3) for value in weights @ boxes / weights.sum())
            who = min(seen, key=lambda other: abs(other.time_us - frame.time_us)).who
            self._last = CropBox(cx=cx, cy=cy, side=side, has_face=_has_face(frame, seen), scene=frame.scene, who=who)
        else:
            self._last = replace(self._last, has_face=False, scene=frame.scene)
        self._past.append(frame)
        while self._past[0].time_us < frame.time_us - REACH_US:
            self._past.popleft()
        return self._last


def _has_face(frame: _Frame, seen: list[_Frame]) -> bool:
    if frame.box is not None:
        return frame.paintable
    before = [other for other in seen if other.time_us < frame.time_us][-1:]
    after = [other for other in seen if other.time_us > frame.time_us][:1]
    if not before or not after or after[0].time_us - before[0].time_us > GAP_US:
        return False
    return before[0].paintable and after[0].paintable
