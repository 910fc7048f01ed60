"""What the face networks see of a decoded frame: only the part that they ask for is ever turned into RGB."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from shared.face.mesh import Pixels, Points, Roi, cut_square

_THUMBNAIL_PX: Final = 32
_LUMA_WEIGHTS: Final = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A frame's planes (8 bit, chroma at half size) and how they stand for colours."""

    y: Pixels
    u: Pixels
    v: Pixels
    matrix: str = "bt709"
    full_range: bool = False

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.y.shape[0])

    def cut(self, roi: Roi, size: int, *, black_outside: bool = False) -> Points:
        """Cut a turned square, scaled to ``size`` pixels: RGB float32 [size, size, 3], 0 to 1."""
        half = Roi(x=roi.x / 2, y=roi.y / 2, side=roi.side / 2, angle=roi.angle)
        black = 0 if self.full_range else 16
        y = cut_square(self.y, roi, size, border=black if black_outside else None)
        u = cut_square(self.u, half, size, border=128 if black_outside else None)
        v = cut_square(self.v, half, size, border=128 if black_outside else None)
        return self._rgb(y, u, v)

    def thumbnail(self) -> Points:
        """The brightness of the frame on a coarse grid, 0 to 255, to see cuts by."""
        steps = max(self.width, self.height) // (4 * _THUMBNAIL_PX) or 1
        small = cv2.resize(self.y[::steps, ::steps], (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32)

    def _rgb(self, y: Points, u: Points, v: Points) -> Points:
        red, blue = _LUMA_WEIGHTS[self.matrix]
        green = 1 - red - blue
        luma, chroma = (1.0, 1.0) if self.full_range else (255 / 219, 255 / 224)
        y = (y - (0.0 if self.full_range else 16 / 255)) * luma
        cb, cr = (u - 128 / 255) * chroma, (v - 128 / 255) * chroma
        r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
        g = (y - red * r - blue * b) / green
        rgb: Points = np.stack([r, g, b], axis=-1, dtype=np.float32)
        return np.clip(rgb, 0, 1, out=rgb)
