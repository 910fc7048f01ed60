"""Where faces are in a picture, by MediaPipe's BlazeFace networks run through LiteRT."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from edge_gateway.face.view import View
from shared.face.mesh import MODELS, Points, Roi

_RIGHT_EYE: Final = 0
_LEFT_EYE: Final = 1
_SAME_FACE_OVERLAP: Final = 0.3
_TILE_OVERLAP: Final = 1 / 3
_TILE_SHARES: Final = (1.0, 0.5, 0.25)
"""Sides of the tiles as shares of the picture's short side, largest first."""
_LARGEST_SHARE_OF_TILE: Final = 0.75
_CLOSER_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A face: centre and size of its box (brow to chin) in pixels, how far it leans clockwise, and how sure, 0 to 1."""

    x: float
    y: float
    size: float
    angle: float
    score: float

    def roi(self) -> Roi:
        """Where the mesh should look for this face."""
        return Roi(x=self.x, y=self.y, side=1.5 * self.size, angle=self.angle)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    """One of the BlazeFace networks; ``grids`` are (cells along a side, boxes per cell), in the order of its output."""

    model: str
    input_px: int
    grids: tuple[tuple[int, int], ...]
    least_score: float

    def anchors(self) -> Points:
        centres = []
        for cells, boxes in self.grids:
            y, x = np.mgrid[:cells, :cells].reshape(2, -1)
            centres.append(np.repeat((np.stack([x, y], axis=1) + 0.5) / cells, boxes, axis=0))
        return np.concatenate(centres).astype(np.float32)


_FULL_RANGE: Final = _Network(model="face_detection_full_range.tflite", input_px=192, grids=((48, 1),), least_score=0.6)
_SHORT_RANGE: Final = _Network(
    model="face_detection_short_range.tflite", input_px=128, grids=((16, 2), (8, 6)), least_score=0.5
)


class FaceDetector:
    """The networks. Models are loaded by the first picture; an instance belongs to one thread."""

    def find(self, view: View) -> list[Detection]:
        """Faces in the whole picture, largest first."""
        whole = Roi(x=view.width / 2, y=view.height / 2, side=float(max(view.width, view.height)))
        return self.find_in(view, whole)

    def find_in(self, view: View, square: Roi) -> list[Detection]:
        """Faces in a part of the picture, largest first; what is close to the camera is tried after what is not."""
        return self._full_range.find(view, square) or self._short_range.find(view, square)

    def find_small(self, view: View) -> Iterator[Detection]:
        """Faces that are too small to be seen in the whole picture: in tiles of it, large tiles and faces first."""
        for share in _TILE_SHARES:
            side = min(view.width, view.height) * share
            if side < _FULL_RANGE.input_px / 2:
                return
            found = [face for tile in _tiles(view, side) for face in self._full_range.find(view, tile)]
            yield from _merged([face for face in found if face.size < side * _LARGEST_SHARE_OF_TILE])

    def find_in_tiles(self, view: View) -> list[Detection]:
        """Faces down to a tenth of the picture's short side, also beside larger ones; largest first."""
        side = min(view.width, view.height) * _CLOSER_SHARE
        if side < _FULL_RANGE.input_px:
            return []
        found = [face for tile in _tiles(view, side) for face in self._full_range.find(view, tile)]
        return _merged([face for face in found if face.size < side * _LARGEST_SHARE_OF_TILE])

    @cached_property
    def _full_range(self) -> "_Runner":
        return _Runner(_FULL_RANGE)

    @cached_property
    def _short_range(self) -> "_Runner":
        return _Runner(_SHORT_RANGE)


class _Runner:
    def __init__(self, network: _Network) -> None:
        self._network = network
        self._anchors = network.anchors()
        self._interpreter = Interpreter(str(MODELS / network.model), num_threads=1)
        self._interpreter.allocate_tensors()
        outputs = {int(detail["shape"][-1]): detail["index"] for detail in self._interpreter.get_output_details()}
        self._boxes, self._scores = outputs[16], outputs[1]
        self._input = self._interpreter.get_input_details()[0]["index"]

    def find(self, view: View, square: Roi) -> list[Detection]:
        cut = view.cut(square, self._network.input_px, black_outside=True)
        self._interpreter.set_tensor(self._input, (cut * 2 - 1)[np.newaxis])
        self._interpreter.invoke()
        logits = self._interpreter.get_tensor(self._scores).reshape(-1)
        scores = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        sure = scores >= self._network.least_score
        if not sure.any():
            return []
        boxes = self._interpreter.get_tensor(self._boxes).reshape(-1, 16)[sure] / self._network.input_px
        return _merged([self._face(*row, square) for row in zip(boxes, self._anchors[sure], scores[sure], strict=True)])

    def _face(self, box: Points, anchor: Points, score: float, square: Roi) -> Detection:
        x, y = (box[:2] + anchor - 0.5) * square.side
        across = box[4 + 2 * _LEFT_EYE : 6 + 2 * _LEFT_EYE] - box[4 + 2 * _RIGHT_EYE : 6 + 2 * _RIGHT_EYE]
        return Detection(
            x=float(square.x + x),
            y=float(square.y + y),
            size=float(box[2:4].max() * square.side),
            angle=float(np.arctan2(across[1], across[0])),
            score=float(score),
        )


def overlap(one: Roi | Detection, other: Roi | Detection) -> float:
    """How much two squares share, 0 to 1 (intersection over union; their angles do not count)."""
    a, b = (square.side if isinstance(square, Roi) else square.size for square in (one, other))
    across = (a + b) / 2 - abs(one.x - other.x)
    down = (a + b) / 2 - abs(one.y - other.y)
    shared = max(min(across, a, b), 0.0) * max(min(down, a, b), 0.0)
    return shared / max(a * a + b * b - shared, 1e-9)


def _merged(faces: list[Detection]) -> list[Detection]:
    """Let the boxes that lie on one face vote on where it is, weighted by how sure each is; largest face first."""
    waiting = sorted(faces, key=lambda face: -face.score)
    merged = []
    while waiting:
        best = waiting[0]
        same = [face for face in waiting if face is best or overlap(face, best) > _SAME_FACE_OVERLAP]
        waiting = [face for face in waiting if face not in same]
        rows = np.array([(face.x, face.y, face.size, np.cos(face.angle), np.sin(face.angle)) for face in same])
        weights: npt.NDArray[np.float64] = np.array([face.score for face in same])
        x, y, size, cos, sin = (float(value) for value in weights @ rows / weights.sum())
        merged.append(Detection(x=x, y=y, size=size, angle=float(np.arctan2(sin, cos)), score=best.score))
    return sorted(merged, key=lambda face: -face.size)


def _tiles(view: View, side: float) -> Iterator[Roi]:
    step = side * (1 - _TILE_OVERLAP)
    columns, rows = (int(np.ceil(max(size - side, 0) / step)) + 1 for size in (view.width, view.height))
    for y in np.linspace(side / 2, view.height - side / 2, rows):
        for x in np.linspace(side / 2, view.width - side / 2, columns):
            yield Roi(x=float(x), y=float(y), side=side)
