"""Following one face through a video, frame by frame.

The mesh is fitted where the face was in the frame before; the detector looks only where no face is followed. Once a
face is followed it stays the one, however large others become, until it is lost or the scene is cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_gateway.face.detector import Detection, FaceDetector, overlap
from edge_gateway.face.view import View
from shared.face.mesh import INPUT_PX, FaceMesh, Mesh, Points, Roi, face_height, roi_from_points

_TAKE_SCORE: Final = 0.8
"""How sure the mesh must be to begin following."""
_KEEP_SCORE: Final = 0.3
"""How sure the mesh must be to go on following."""
_LEAST_FACE_PX: Final = 16
"""Faces lower than this have no lips worth painting."""
_SEARCH_EVERY_US: Final = 100_000
_TILES_EVERY_US: Final = 500_000
_TILES_AT_MOST_EVERY_US: Final = 4_000_000
_REMEMBERED_US: Final = 1_000_000
"""How long a lost face is preferred to a larger one."""
_NEAR_SCALE: Final = 2.0
"""How far around its last place a lost face is looked for, in sides of that place."""
_CUT_DIFFERENCE: Final = 24.0
"""Mean change of brightness (0 to 255) on a coarse grid that makes a frame the first of another scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was seen in one frame.

    ``points`` is float32 [468, 3] in pixels of the frame, None without a face. ``cut`` is true where the frame does
    not go on from the one before. ``searched`` is true where a detector looked through the whole frame.
    """

    points: Points | None
    cut: bool
    searched: bool


class FaceTracker:
    """Follows the largest face. Takes every frame in order; the answer needs no later ones."""

    def __init__(self, *, detector: FaceDetector, mesh: FaceMesh) -> None:
        self._detector = detector
        self._mesh = mesh
        self._thumbnail: Points | None = None
        self._roi: Roi | None = None
        self._last: Roi | None = None
        self._last_us = 0
        self._search_us = 0
        self._tiles_us = 0
        self._tiles_pause_us = _TILES_EVERY_US

    def step(self, view: View, time_us: int) -> Sighting:
        """Look at the next frame."""
        cut = self._is_cut(view)
        if cut:
            self._forget(time_us)
        points = None if self._roi is None else self._follow(view, self._roi)
        if points is not None:
            return self._seen(points, time_us, cut=cut, searched=False)
        if self._roi is not None:
            self._roi, self._search_us = None, time_us
        if time_us < self._search_us:
            return Sighting(points=None, cut=cut, searched=False)
        self._search_us = time_us + _SEARCH_EVERY_US
        points = self._search(view, time_us)
        if points is None:
            return Sighting(points=None, cut=cut, searched=True)
        return self._seen(points, time_us, cut=cut, searched=True)

    def _seen(self, points: Points, time_us: int, *, cut: bool, searched: bool) -> Sighting:
        self._roi = self._last = roi_from_points(points)
        self._last_us = time_us
        self._tiles_us, self._tiles_pause_us = time_us, _TILES_EVERY_US
        return Sighting(points=points, cut=cut, searched=searched)

    def _is_cut(self, view: View) -> bool:
        before, self._thumbnail = self._thumbnail, view.thumbnail()
        if before is None:
            return False
        # A flash or a fade lifts the whole picture alike and is no cut.
        change = self._thumbnail - before
        return float(np.abs(change - np.median(change)).mean()) > _CUT_DIFFERENCE

    def _forget(self, time_us: int) -> None:
        self._roi = self._last = None
        self._search_us = self._tiles_us = time_us
        self._tiles_pause_us = _TILES_EVERY_US

    def _follow(self, view: View, roi: Roi) -> Points | None:
        mesh = self._look(view, roi)
        if _is_face(mesh, _KEEP_SCORE):
            return mesh.points
        near = Roi(x=roi.x, y=roi.y, side=roi.side * _NEAR_SCALE)
        return self._fit(view, (face for face in self._detector.find_in(view, near) if overlap(face.roi(), roi) > 0))

    def _search(self, view: View, time_us: int) -> Points | None:
        faces = self._detector.find(view)
        last = self._last
        if last is not None and time_us - self._last_us <= _REMEMBERED_US:
            faces.sort(key=lambda face: -overlap(face.roi(), last))
        points = self._fit(view, faces)
        if points is not None or time_us < self._tiles_us:
            return points
        self._tiles_us = time_us + self._tiles_pause_us
        self._tiles_pause_us = min(self._tiles_pause_us * 2, _TILES_AT_MOST_EVERY_US)
        return self._fit(view, self._detector.find_small(view))

    def _fit(self, view: View, faces: Iterator[Detection] | list[Detection]) -> Points | None:
        """Lay the mesh on the first of the faces that it takes for one; the second look is the one that counts."""
        for face in faces:
            mesh = self._look(view, face.roi())
            if not _is_face(mesh, _KEEP_SCORE):
                continue
            mesh = self._look(view, roi_from_points(mesh.points))
            if _is_face(mesh, _TAKE_SCORE):
                return mesh.points
        return None

    def _look(self, view: View, roi: Roi) -> Mesh:
        return self._mesh.look(view.cut(roi, INPUT_PX), roi)


def _is_face(mesh: Mesh, least_score: float) -> bool:
    return mesh.score >= least_score and float(face_height(mesh.points)) >= _LEAST_FACE_PX
