"""468 points of a face, by MediaPipe's FaceMesh network run through LiteRT."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]

MODELS: Final = Path(__file__).with_name("models")
POINT_COUNT: Final = 468
FOREHEAD: Final = 10
CHIN: Final = 152
INPUT_PX: Final = 192
GOOD_SCORE: Final = 0.5
"""A mesh scored below this does not lie on a face."""

_RIGHT_EYE_CORNER: Final = 33
_LEFT_EYE_CORNER: Final = 263
_ROI_SCALE: Final = 1.5
_CROP_PASSES: Final = 5
_SETTLED_SHARE: Final = 0.03
_SETTLED_ANGLE: Final = 0.05
_CROP_FACE_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Roi:
    """The square of the picture that the network looks at.

    ``x`` and ``y`` are its centre and ``side`` its side in pixels; ``angle`` is how far the face leans clockwise, in
    radians: the square is turned by as much, so that the network sees the eyes level.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A face's points: float32 [468, 3], x and y in pixels of the picture, z (towards the back) in the same unit.

    ``score`` is how sure the network is that there is a face in what it looked at, 0 to 1.
    """

    points: Points
    score: float


class FaceMesh:
    """The network. The model is loaded by the first picture; an instance belongs to one thread."""

    @cached_property
    def _network(self) -> Interpreter:
        network = Interpreter(str(MODELS / "face_landmark.tflite"), num_threads=1)
        network.allocate_tensors()
        return network

    @cached_property
    def _tensors(self) -> tuple[int, int, int]:
        outputs = sorted(self._network.get_output_details(), key=lambda detail: int(np.prod(detail["shape"])))
        return self._network.get_input_details()[0]["index"], outputs[1]["index"], outputs[0]["index"]

    def landmarks(self, rgb: Pixels, roi: Roi) -> Mesh:
        """Find the points of the face in ``roi`` of an RGB picture (uint8 [H, W, 3])."""
        return self.look(cut_square(rgb, roi, INPUT_PX), roi)

    def look(self, cut: Points, roi: Roi) -> Mesh:
        """Find the points of the face in what was cut out of ``roi``: float32 [INPUT_PX, INPUT_PX, 3], 0 to 1."""
        image, points, score = self._tensors
        self._network.set_tensor(image, cut[np.newaxis])
        self._network.invoke()
        found = self._network.get_tensor(points).reshape(POINT_COUNT, 3)
        logit = float(self._network.get_tensor(score).ravel()[0])
        return Mesh(points=_to_picture(found, roi), score=_sigmoid(logit))

    def crop_landmarks(self, rgb: Pixels) -> Mesh:
        """Find the points of the face that fills a crop, as the edge cuts them.

        Looks at the crop's middle, then at the face that was seen there, mostly twice, until where to look no longer
        changes. The answer depends on this picture alone, so it is the same wherever a segment begins.
        """
        height, width = rgb.shape[:2]
        roi = Roi(x=width / 2, y=height / 2, side=min(height, width) * _CROP_FACE_SHARE)
        mesh = self.landmarks(rgb, roi)
        for _ in range(_CROP_PASSES):
            roi = roi_from_points(mesh.points)
            mesh = self.landmarks(rgb, roi)
            if _is_settled(roi, roi_from_points(mesh.points)):
                break
        return mesh


def roi_from_points(points: Points) -> Roi:
    """Where to look for the face again, given its points ([468, 2 or 3]) in the frame before or in a first look."""
    across = points[_LEFT_EYE_CORNER, :2] - points[_RIGHT_EYE_CORNER, :2]
    angle = float(np.arctan2(across[1], across[0]))
    turn = _turn(angle)
    upright = points[:, :2] @ turn
    low, high = upright.min(axis=0), upright.max(axis=0)
    x, y = turn @ ((low + high) / 2)
    return Roi(x=float(x), y=float(y), side=_ROI_SCALE * float((high - low).max()), angle=angle)


def face_height(points: Points) -> Points:
    """Distance from forehead (10) to chin (152) in pixels, of points [..., 468, 2 or 3]."""
    along = points[..., FOREHEAD, :2] - points[..., CHIN, :2]
    height: Points = np.sqrt(np.square(along, dtype=np.float32).sum(axis=-1))
    return height


def cut_square(picture: Pixels, roi: Roi, size: int, *, border: int | None = None) -> Points:
    """Cut a turned square out of a picture (uint8 [H, W] or [H, W, 3]), scaled to ``size`` pixels.

    Beyond the picture's edges its last pixels go on, or ``border`` does. Gives float32 of the same depth, 0 to 1.
    """
    shrink = int(roi.side / size / 1.5)
    if shrink > 1:
        picture, roi = _shrunk(picture, roi, shrink)
    turn = _turn(roi.angle) * (roi.side / size)
    # Pixel centres lie at half coordinates in our geometry, at whole ones in OpenCV's.
    offset = np.array([roi.x, roi.y]) - turn @ np.array([size / 2, size / 2])
    offset += turn @ np.array([0.5, 0.5]) - 0.5
    matrix = np.hstack([turn, offset[:, np.newaxis]])
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(picture, matrix, (size, size), flags=flags, borderMode=mode, borderValue=(border or 0,) * 3)
    unit: Points = np.multiply(cut, 1 / 255, dtype=np.float32)
    return unit


def _shrunk(picture: Pixels, roi: Roi, by: int) -> tuple[Pixels, Roi]:
    """Average the neighbourhood of ``roi`` down first: linear sampling alone would skip pixels and shimmer."""
    reach = roi.side * 0.75 + by
    height, width = picture.shape[:2]
    left, top = (int(np.clip(at - reach, 0, size - by)) for at, size in ((roi.x, width), (roi.y, height)))
    right, bottom = (int(np.clip(at + reach, by, size)) for at, size in ((roi.x, width), (roi.y, height)))
    columns, rows = max((right - left) // by, 1), max((bottom - top) // by, 1)
    part = picture[top : top + rows * by, left : left + columns * by]
    small = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small, Roi(x=(roi.x - left) / by, y=(roi.y - top) / by, side=roi.side / by, angle=roi.angle)


def _to_picture(found: Points, roi: Roi) -> Points:
    scale = roi.side / INPUT_PX
    points = found * np.float32(scale)
    turned = (found[:, :2] - INPUT_PX / 2) @ (_turn(roi.angle).T * scale)
    points[:, :2] = turned + np.array([roi.x, roi.y])
    return points


def _turn(angle: float) -> npt.NDArray[np.float64]:
    """From the upright square to the picture; x to the right, y down, so that a positive angle is clockwise."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _is_settled(roi: Roi, following: Roi) -> bool:
    moved = max(abs(following.x - roi.x), abs(following.y - roi.y), abs(following.side - roi.side))
    turned = abs(np.angle(np.exp(1j * (following.angle - roi.angle))))
    return bool(moved < _SETTLED_SHARE * roi.side and turned < _SETTLED_ANGLE)


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(logit, -60, 60))))
