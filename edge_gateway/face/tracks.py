"""Following every face of a video, frame by frame, each under a number of its own.

The mesh is fitted where a face was in the frame before; detectors look for further faces now and then, and more often
while one is missing. A number stands for one face without a gap: a face that was out of sight, or behind a cut, gets
another one, and who it is must be told from its look. What is done depends on the frames and hints alone, so whoever
looks through the same video again finds the same numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from edge_gateway.face.detector import Detection, FaceDetector, overlap
from edge_gateway.face.look import STRANGE, Look, Looks, glimpse, likeness
from edge_gateway.face.speaker import Hint
from edge_gateway.face.view import View
from shared.face.mesh import INPUT_PX, FaceMesh, Mesh, Points, Roi, face_height, roi_from_points

AT_ONCE: Final = 8
"""Faces that are followed at the same time; the largest, and those that were hinted at."""

_TAKE_SCORE: Final = 0.8
"""How sure the mesh must be to begin following."""
_KEEP_SCORE: Final = 0.3
"""How sure the mesh must be to go on following."""
_LEAST_FACE_PX: Final = 16
"""Faces lower than this have no lips worth painting."""
_SEARCH_EVERY_US: Final = 100_000
_SEARCH_MISSING_US: Final = 200_000
"""While a face is missing and others are there."""
_SEARCH_OTHERS_US: Final = 1_000_000
"""While all that are known are there."""
_MISSED_US: Final = 1_000_000
"""How long a face that was lost keeps its number, to be found near where it was."""
_LOOKED_FOR_US: Final = 5_000_000
"""How long it is looked for eagerly."""
_TILES_EVERY_US: Final = 500_000
_TILES_AT_MOST_EVERY_US: Final = 4_000_000
_NEAR_SCALE: Final = 2.0
"""How far around its last place a lost face is looked for, in sides of that place."""
_SAME_OVERLAP: Final = 0.35
"""Two places that share more than this are one face's."""
_LOOK_EVERY_US: Final = 200_000
_JOLT: Final = 0.6
"""Patches of a face in consecutive frames that are less alike than this may be two people's."""
_HINT_SHARES: Final = (1.0, 0.5, 0.25, 0.12)
"""Squares around a hint, as shares of the frame's short side."""
_BOX_SHARE: Final = 2.5
"""Of a box that is a hint: the square around it, in sides of the box."""
_CUT_DIFFERENCE: Final = 24.0
"""Mean change of brightness (0 to 255) on a coarse grid that makes a frame the first of another scene."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """A face in one frame; ``points`` is float32 [468, 3] in pixels of the frame, ``looks`` all that is known of it."""

    number: int
    points: Points
    looks: Looks

    @property
    def place(self) -> Roi:
        """The square around it."""
        return roi_from_points(self.points)

    @property
    def height(self) -> float:
        """From forehead to chin, in pixels."""
        return float(face_height(self.points))


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """The faces of one frame.

    ``cut`` is true where the frame does not go on from the one before; ``searched`` where a detector looked through
    the whole frame.
    """

    seen: Sequence[Seen]
    cut: bool
    searched: bool


@dataclass(slots=True, kw_only=True)
class _Track:
    number: int
    roi: Roi
    points: Points
    seen_us: int
    patch: Points | None = None
    look_us: int = 0
    looks: Looks = field(default_factory=Looks)


class FaceTracks:
    """Follows faces. Takes every frame in order; the answer needs no later ones.

    Args:
        detector: Finds them.
        mesh: Fits their points.
        hints: Where to look closer, in order of time.
    """

    def __init__(self, *, detector: FaceDetector, mesh: FaceMesh, hints: Iterable[Hint] = ()) -> None:
        self._detector = detector
        self._mesh = mesh
        self._hints = sorted(hints, key=lambda hint: hint.time_us)
        self._thumbnail: Points | None = None
        self._live: list[_Track] = []
        self._missing: list[_Track] = []
        self._count = 0
        self._search_us = 0
        self._tiles_us = 0
        self._tiles_pause_us = _TILES_EVERY_US
        self._is_shot_new = True

    def step(self, view: View, time_us: int) -> Faces:
        """Look at the next frame."""
        cut = self._is_cut(view)
        if cut:
            self._forget(time_us)
        self._follow_all(view, time_us)
        searched = time_us >= self._search_us
        if searched:
            self._search(view, time_us)
        while self._hints and self._hints[0].time_us <= time_us:
            self._look_at(view, self._hints.pop(0), time_us)
        for track in self._live:
            self._remember(view, track, time_us)
        seen = [Seen(number=track.number, points=track.points, looks=track.looks) for track in self._live]
        return Faces(seen=seen, cut=cut, searched=searched)

    def _is_cut(self, view: View) -> bool:
        before, self._thumbnail = self._thumbnail, view.thumbnail()
        if before is None:
            return False
        # A flash or a fade lifts the whole picture alike and is no cut.
        change = self._thumbnail - before
        return float(np.abs(change - np.median(change)).mean()) > _CUT_DIFFERENCE

    def _forget(self, time_us: int) -> None:
        self._live, self._missing = [], []
        self._search_us = self._tiles_us = time_us
        self._tiles_pause_us = _TILES_EVERY_US
        self._is_shot_new = True

    def _follow_all(self, view: View, time_us: int) -> None:
        self._missing = [track for track in self._missing if time_us - track.seen_us <= _LOOKED_FOR_US]
        followed: list[_Track] = []
        for track in self._live:
            if not self._follow(view, track):
                self._lose(track, time_us)
            elif (other := next((one for one in followed if _is_same(one.roi, track.roi)), None)) is not None:
                # One face has come before another: it keeps the number of the one that it looks like.
                gone = self._less_like(view, other, track)
                if gone is other:
                    followed[followed.index(other)] = track
                self._lose(gone, time_us)
            else:
                followed.append(track)
        self._live = followed
        for track in followed:
            track.seen_us = time_us

    def _follow(self, view: View, track: _Track) -> bool:
        """Find a face again where it was in the frame before; False where it is not there, or another is."""
        roi = track.roi
        cut = view.cut(roi, INPUT_PX)
        mesh = self._mesh.look(cut, roi)
        patch: Points | None = glimpse(cut)
        if not _is_face(mesh, _KEEP_SCORE):
            near = Roi(x=roi.x, y=roi.y, side=roi.side * _NEAR_SCALE)
            faces = [face for face in self._detector.find_in(view, near) if overlap(face.roi(), roi) > 0]
            found = next(self._fitted(view, faces), None)
            if found is None:
                return False
            mesh, patch = found, None
        jolted = patch is None or (track.patch is not None and likeness(patch, track.patch) < _JOLT)
        if jolted and self._is_stranger(view, track.looks, mesh.points):
            return False
        track.points, track.roi, track.patch = mesh.points, roi_from_points(mesh.points), patch
        return True

    def _lose(self, track: _Track, time_us: int) -> None:
        self._missing.append(track)
        self._search_us = time_us

    @staticmethod
    def _is_stranger(view: View, looks: Looks, points: Points) -> bool:
        look = Look.of(view, points)
        return bool(looks) and look is not None and looks.difference(look) > STRANGE

    @staticmethod
    def _less_like(view: View, one: _Track, other: _Track) -> _Track:
        look = Look.of(view, other.points)
        if look is None:
            return max(one, other, key=lambda track: track.number)
        return max(one, other, key=lambda track: (track.looks.difference(look), track.number))

    def _search(self, view: View, time_us: int) -> None:
        """Look for faces that are not followed."""
        found = self._detector.find(view)
        if self._is_shot_new:
            self._is_shot_new = False
            found += self._detector.find_in_tiles(view)
        for track in self._missing:
            near = Roi(x=track.roi.x, y=track.roi.y, side=track.roi.side * 2 * _NEAR_SCALE)
            if not any(overlap(face.roi(), track.roi) > 0 for face in found):
                found += self._detector.find_in(view, near)
        self._take(view, found, time_us)
        if not self._live and time_us >= self._tiles_us:
            self._tiles_us = time_us + self._tiles_pause_us
            self._tiles_pause_us = min(self._tiles_pause_us * 2, _TILES_AT_MOST_EVERY_US)
            self._take(view, self._detector.find_small(view), time_us, most=1)
        if self._live:
            self._tiles_us, self._tiles_pause_us = time_us, _TILES_EVERY_US
        pause = _SEARCH_MISSING_US if self._missing else _SEARCH_OTHERS_US
        self._search_us = time_us + (pause if self._live else _SEARCH_EVERY_US)

    def _look_at(self, view: View, hint: Hint, time_us: int) -> None:
        """Look closer where somebody says that a face is."""
        if any(is_on(track.points, hint.x, hint.y) for track in self._live):
            return
        sides = [share * min(view.width, view.height) for share in _HINT_SHARES]
        if hint.size:
            sides.insert(0, _BOX_SHARE * hint.size)
        for side in sides:
            found = self._detector.find_in(view, Roi(x=hint.x, y=hint.y, side=side))
            found = [face for face in found if max(abs(face.x - hint.x), abs(face.y - hint.y)) <= face.size]
            if self._take(view, found, time_us, always=True):
                return

    def _take(
        self, view: View, faces: Iterable[Detection], time_us: int, *, most: int = AT_ONCE, always: bool = False
    ) -> int:
        """Begin to follow those of the faces that are not followed; gives how many."""
        taken = 0
        for face in faces:
            if taken == most or (len(self._live) >= AT_ONCE and not always):
                break
            if any(_is_same(track.roi, face.roi()) for track in self._live):
                continue
            mesh = next(self._fitted(view, [face]), None)
            if mesh is None or any(_is_same(track.roi, roi_from_points(mesh.points)) for track in self._live):
                continue
            self._live.append(self._begun(view, mesh.points, time_us))
            taken += 1
        return taken

    def _begun(self, view: View, points: Points, time_us: int) -> _Track:
        """A face's track: the one that it had a moment ago and nearby, or a new one."""
        roi = roi_from_points(points)
        for track in sorted(self._missing, key=lambda track: -overlap(track.roi, roi)):
            if time_us - track.seen_us > _MISSED_US or overlap(track.roi, roi) <= 0:
                continue
            if not self._is_stranger(view, track.looks, points):
                self._missing.remove(track)
                track.points, track.roi, track.patch, track.seen_us = points, roi, None, time_us
                return track
        self._count += 1
        return _Track(number=self._count, roi=roi, points=points, seen_us=time_us)

    def _remember(self, view: View, track: _Track, time_us: int) -> None:
        if time_us >= track.look_us or not track.looks:
            track.look_us = time_us + _LOOK_EVERY_US
            look = Look.of(view, track.points)
            if look is not None:
                track.looks.add(look)

    def _fitted(self, view: View, faces: Iterable[Detection]) -> Iterator[Mesh]:
        """Lay the mesh on those of the faces that it takes for one; the second look is the one that counts."""
        for face in faces:
            mesh = self._look(view, face.roi())
            if not _is_face(mesh, _KEEP_SCORE):
                continue
            mesh = self._look(view, roi_from_points(mesh.points))
            if _is_face(mesh, _TAKE_SCORE):
                yield mesh

    def _look(self, view: View, roi: Roi) -> Mesh:
        return self._mesh.look(view.cut(roi, INPUT_PX), roi)


def is_on(points: Points, x: float, y: float) -> bool:
    """Whether a point of the frame lies on a face, or close to its outline."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    margin = 0.15 * (high - low)
    at = np.array([x, y])
    return bool((at >= low - margin).all() and (at <= high + margin).all())


def _is_same(one: Roi, other: Roi) -> bool:
    return overlap(one, other) > _SAME_OVERLAP


def _is_face(mesh: Mesh, least_score: float) -> bool:
    return mesh.score >= least_score and float(face_height(mesh.points)) >= _LEAST_FACE_PX
