"""Cutting a square out of a picture and putting a part of it back, to a fraction of a pixel.

A box is (centre x, centre y, side) in pixels of the frame, where the frame's left edge is 0 and its first pixel's
middle 0.5. The crop shows the box at ``crop_px`` pixels a side. Each plane is resampled by itself, with the very same
geometry both ways, so that what was cut out and put back lies where it lay.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from shared.media.planes import Plane, Planes

Box = Sequence[float]

_LEAST_FEATHER = 0.01
_MARGIN = 4
"""Pixels around what is sampled that the kernels look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A soft ellipse in units of the crop's side; nothing outside it is painted."""

    x: float
    y: float
    along: float
    """Half axis along the mouth."""
    across: float
    """Half axis across it."""
    angle: float
    """Of the mouth, in radians clockwise."""
    feather: float
    """The share of the half axes over which paint fades to nothing at the ellipse's edge."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mask":
        """From the six numbers of the wire."""
        x, y, along, across, angle, feather = values
        return cls(x=x, y=y, along=along, across=across, angle=angle, feather=feather)

    @property
    def paints(self) -> bool:
        """False for the mask that says that nothing was painted."""
        return self.along > 0 and self.across > 0

    @property
    def reach(self) -> tuple[float, float]:
        """How far it reaches from its centre to the sides and up and down."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return math.hypot(self.along * cos, self.across * sin), math.hypot(self.along * sin, self.across * cos)

    def weights(self, xs: npt.NDArray[np.float32], ys: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The share of paint, float32 [len(ys), len(xs)], at points in units of the crop's side."""
        dx, dy = (xs - self.x)[None, :], (ys - self.y)[:, None]
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        radius = np.hypot((dx * cos + dy * sin) / self.along, (dy * cos - dx * sin) / self.across)
        ramp = np.clip((1 - radius) / max(self.feather, _LEAST_FEATHER), 0, 1)
        return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A rectangle of a plane in whole pixels."""

    x: int
    y: int
    width: int
    height: int

    def of(self, plane: Plane) -> Plane:
        return plane[self.y : self.y + self.height, self.x : self.x + self.width]


def crop_planes(planes: Planes, box: Box, crop_px: int) -> Planes:
    """Cut a box out of a picture; beyond its edges the last pixels go on.

    Args:
        planes: The picture.
        box: Centre x, centre y and side, in pixels of the picture.
        crop_px: Side of the crop in pixels, even.
    """
    return Planes(
        y=_cut(planes.y, box, crop_px, 1), u=_cut(planes.u, box, crop_px, 2), v=_cut(planes.v, box, crop_px, 2)
    )


def paste_planes(planes: Planes, patch: Planes, *, rect: Sequence[int], box: Box, crop_px: int, mask: Mask) -> Planes:
    """Blend a painted part of a crop into the picture that the crop was cut from.

    Args:
        planes: The picture; is not changed.
        patch: What was painted, of the rectangle's size.
        rect: Where in the crop the patch lies: x, y, width, height, all even.
        box: The crop's box.
        crop_px: The crop's side.
        mask: Where the patch counts; beyond it the result is the picture, bit for bit.
    """
    if (patch.width, patch.height) != tuple(rect[2:]):
        raise ValueError(f"a patch of {patch.width}x{patch.height} does not fill its rectangle of {rect[2]}x{rect[3]}")
    window = _painted(planes, rect, box, crop_px, mask)
    if window is None:
        return planes
    result = planes.copy()
    for plane, painted, step in ((result.y, patch.y, 1), (result.u, patch.u, 2), (result.v, patch.v, 2)):
        _blend(plane, painted, _Placed(rect=rect, box=box, crop_px=crop_px, step=step), window, mask)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """How a plane of a patch lies in the same plane of a frame; step is 1 for luma and 2 for chroma."""

    rect: Sequence[int]
    box: Box
    crop_px: int
    step: int

    @property
    def scale(self) -> float:
        """Pixels of the frame for one of the crop."""
        return self.box[2] / self.crop_px

    def in_crop(self, first: int, count: int, axis: int) -> npt.NDArray[np.float32]:
        """Where pixels of the frame's plane lie, in units of the crop's side."""
        middles = (np.arange(first, first + count) + 0.5) * self.step
        return np.asarray((middles - self.box[axis]) / self.box[2] + 0.5, dtype=np.float32)

    def offset(self, first: int, axis: int) -> float:
        """Where in the patch's plane pixel ``first`` of the frame's plane lies, in pixels."""
        origin = (self.box[axis] - self.box[2] / 2) / self.step
        return (first + 0.5 - origin) / self.scale - self.rect[axis] / self.step - 0.5


def _cut(plane: Plane, box: Box, crop_px: int, step: int) -> Plane:
    size, scale = crop_px // step, box[2] / crop_px
    origin = [(centre - box[2] / 2) / step for centre in box[:2]]
    window = _clipped(plane, (origin[0], origin[1]), size * scale, _MARGIN + math.ceil(2 * scale))
    source = _smoothed(window.of(plane), scale)
    offset_x, offset_y = (scale / 2 + origin[0] - 0.5 - window.x, scale / 2 + origin[1] - 0.5 - window.y)
    return _warped(source, scale, (offset_x, offset_y), (size, size))


def _painted(planes: Planes, rect: Sequence[int], box: Box, crop_px: int, mask: Mask) -> _Window | None:
    """The part of the frame that a mask can touch, at even places; None for none of it."""
    if not mask.paints:
        return None
    side = box[2]
    left, top = box[0] - side / 2, box[1] - side / 2
    reach_x, reach_y = mask.reach
    spans = []
    for origin, centre, reach, start, length, end in (
        (left, mask.x, reach_x, rect[0], rect[2], planes.width),
        (top, mask.y, reach_y, rect[1], rect[3], planes.height),
    ):
        low = origin + side * max(centre - reach, start / crop_px)
        high = origin + side * min(centre + reach, (start + length) / crop_px)
        spans.append((max(0, math.floor(low / 2) * 2), min(end, math.ceil(high / 2) * 2)))
    (x0, x1), (y0, y1) = spans
    return _Window(x=x0, y=y0, width=x1 - x0, height=y1 - y0) if x1 > x0 and y1 > y0 else None


def _blend(plane: Plane, painted: Plane, placed: _Placed, window: _Window, mask: Mask) -> None:
    """Blend one plane of a patch into the frame's, in place."""
    step = placed.step
    x, y = window.x // step, window.y // step
    width, height = -(-window.width // step), -(-window.height // step)
    xs, ys = placed.in_crop(x, width, 0), placed.in_crop(y, height, 1)
    weights = mask.weights(xs, ys) * _inside(ys, placed, 1)[:, None] * _inside(xs, placed, 0)[None, :]
    source = _smoothed(painted, 1 / placed.scale)
    offset = (placed.offset(x, 0), placed.offset(y, 1))
    warped = _warped(source, 1 / placed.scale, offset, (width, height)).astype(np.float32)
    target = plane[y : y + height, x : x + width]
    target[:] = np.rint(target + weights * (warped - target)).astype(np.uint8)


def _inside(places: npt.NDArray[np.float32], placed: _Placed, axis: int) -> npt.NDArray[np.float32]:
    """1 for places that the patch's rectangle covers, 0 for others."""
    start, length = placed.rect[axis] / placed.crop_px, placed.rect[axis + 2] / placed.crop_px
    return ((places >= start) & (places <= start + length)).astype(np.float32)


def _clipped(plane: Plane, corner: tuple[float, float], side: float, margin: int) -> _Window:
    """A square and its margin as far as it lies in the plane; at least the nearest pixel."""
    spans = []
    for start, end in ((corner[0], plane.shape[1]), (corner[1], plane.shape[0])):
        low = min(max(0, math.floor(start) - margin), end - 1)
        spans.append((low, min(max(low + 1, math.ceil(start + side) + margin), end)))
    (x0, x1), (y0, y1) = spans
    return _Window(x=x0, y=y0, width=x1 - x0, height=y1 - y0)


def _smoothed(plane: Plane, scale: float) -> Plane:
    """Take out what a plane that is made smaller by ``scale`` could not show."""
    if scale <= 1:
        return plane
    sigma = 0.5 * math.sqrt(scale * scale - 1)
    if sigma < 0.2:
        return plane
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)


def _warped(plane: Plane, scale: float, offset: tuple[float, float], size: tuple[int, int]) -> Plane:
    """Sample a plane at ``offset + scale * (x, y)``."""
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]], np.float64)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(plane, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)
