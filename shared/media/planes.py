"""Pictures as yuv420p planes, and the one way to and from RGB."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]


class Matrix(StrEnum):
    """How Y, U and V come from R, G and B."""

    BT601 = "bt601"
    BT709 = "bt709"
    BT2020 = "bt2020"
    FCC = "fcc"
    SMPTE240M = "smpte240m"


_WEIGHTS = {
    Matrix.BT601: (0.299, 0.114),
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.BT2020: (0.2627, 0.0593),
    Matrix.FCC: (0.30, 0.11),
    Matrix.SMPTE240M: (0.212, 0.087),
}
"""The shares of red and blue in luma."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planes:
    """One picture, 8 bit 4:2:0.

    ``y`` is uint8 [height, width]; ``u`` and ``v`` are uint8 of half of that, rounded up. Planes are shared between
    holders: whoever changes one makes a copy first. Everywhere in viseme chroma sample k stands for luma 2k and 2k + 1
    alike, on the way out and on the way back, so that nothing shifts.
    """

    y: Plane
    u: Plane
    v: Plane

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.y.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes in all three planes."""
        return self.y.nbytes + self.u.nbytes + self.v.nbytes

    def map(self, change: Callable[[Plane], Plane]) -> "Planes":
        """The same change made to each plane, with rows of the results contiguous."""
        y, u, v = (np.ascontiguousarray(change(plane)) for plane in (self.y, self.u, self.v))
        return Planes(y=y, u=u, v=v)

    def copy(self) -> "Planes":
        """Planes of one's own."""
        return Planes(y=self.y.copy(), u=self.u.copy(), v=self.v.copy())


def pad_to_even(planes: Planes) -> Planes:
    """Repeat the last column and row where width or height is odd, as H.264 in 4:2:0 wants it."""
    below, right = planes.height % 2, planes.width % 2
    if not below and not right:
        return planes
    return Planes(y=np.pad(planes.y, ((0, below), (0, right)), mode="edge"), u=planes.u, v=planes.v)


def planes_to_rgb(planes: Planes, matrix: Matrix | str, *, full_range: bool) -> npt.NDArray[np.uint8]:
    """RGB of a picture, uint8 [height, width, 3]."""
    size = (planes.width, planes.height)
    chroma = [_doubled(plane)[: size[1], : size[0]] for plane in (planes.u, planes.v)]
    whole = cv2.merge([planes.y, *chroma])
    return np.asarray(cv2.transform(whole, _to_rgb(Matrix(matrix), full_range)), dtype=np.uint8)


def rgb_to_planes(rgb: npt.NDArray[np.uint8], matrix: Matrix | str, *, full_range: bool) -> Planes:
    """Planes of an RGB picture, uint8 [height, width, 3]; undoes :func:`planes_to_rgb` to within rounding."""
    y, u, v = cv2.split(cv2.transform(rgb, _from_rgb(Matrix(matrix), full_range)))
    return Planes(y=np.asarray(y), u=_halved(np.asarray(u)), v=_halved(np.asarray(v)))


def _doubled(plane: Plane) -> Plane:
    # Each sample four times rather than interpolated: what nobody paints over comes back as it was.
    size = (plane.shape[1] * 2, plane.shape[0] * 2)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def _halved(plane: Plane) -> Plane:
    below, right = plane.shape[0] % 2, plane.shape[1] % 2
    if below or right:
        plane = np.pad(plane, ((0, below), (0, right)), mode="edge")
    size = (plane.shape[1] // 2, plane.shape[0] // 2)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


@cache
def _from_rgb(matrix: Matrix, full_range: bool) -> npt.NDArray[np.float64]:
    red, blue = _WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    rows = np.stack([luma, (np.array([0, 0, 1]) - luma) / (2 - 2 * blue), (np.array([1, 0, 0]) - luma) / (2 - 2 * red)])
    gain = np.ones(3) if full_range else np.array([219, 224, 224]) / 255
    offset = np.array([0 if full_range else 16, 128, 128])
    return np.column_stack([rows * gain[:, None], offset])


@cache
def _to_rgb(matrix: Matrix, full_range: bool) -> npt.NDArray[np.float64]:
    forward = _from_rgb(matrix, full_range)
    back = np.linalg.inv(forward[:, :3])
    return np.column_stack([back, -back @ forward[:, 3]])
