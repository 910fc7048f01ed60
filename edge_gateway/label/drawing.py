"""Drawing the label into pictures: light letters on a darkened ground, legible on any picture."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from edge_gateway.label.policy import Label, Place, capital_px, open_font
from shared.media.planes import Plane, Planes

CAPITAL_SHARE = 0.05
"""Height of a capital letter as a share of the picture's shorter side, at least: GB 45438-2025 asks for it."""

_LEAST_PX, _PROBE_PX = 8, 100
_PADDING, _LEADING = 0.45, 1.25  # in ems
_MARGIN = 0.03  # of the shorter side
_MOST_OF_WIDTH, _MOST_OF_HEIGHT = 0.9, 0.5
_SHADE = 0.62
_BLACK, _WHITE = {False: 16, True: 0}, {False: 235, True: 255}
_WORDS = re.compile(r"[\u2e80-\uffff]|[^\s\u2e80-\uffff]+|\s+")

_Mask = npt.NDArray[np.floating[Any]]


class Stamp:
    """A label, ready for pictures of one size.

    Args:
        label: What it says, and where.
        width: Of the pictures, in pixels.
        height: The same.
        aspect: Width of a pixel over its height.
        full_range: Whether black is 0 and white 255, rather than 16 and 235.
    """

    def __init__(self, label: Label, width: int, height: int, *, aspect: Fraction, full_range: bool) -> None:
        self.until_us = label.length_us
        """When it is there no longer, from the result's beginning."""
        letters = _letters(label, round(width * aspect), height)
        shape = (_even(letters.shape[1] / aspect, width), letters.shape[0])
        letters = _resized(letters, shape)
        self._x, self._y = _place(label.place, shape, width, height, aspect)
        keep = (1 - letters) * (1 - _SHADE)
        add = (1 - letters) * _SHADE * _BLACK[full_range] + letters * _WHITE[full_range]
        half = _resized(keep, (shape[0] // 2, shape[1] // 2))
        self._luma = _whole(keep, add)
        self._chroma = _whole(half, (1 - half) * 128)

    def put_on(self, planes: Planes) -> Planes:
        """A picture with the label on it."""
        marked = planes.copy()
        _blend(marked.y, self._x, self._y, *self._luma)
        for plane in (marked.u, marked.v):
            _blend(plane, self._x // 2, self._y // 2, *self._chroma)
        return marked


def _letters(label: Label, width: int, height: int) -> _Mask:
    """The label with the ground around it, in square pixels: 1 in the letters, 0 in the ground."""
    wanted = CAPITAL_SHARE * min(width, height)
    size = max(_LEAST_PX, int(wanted * _PROBE_PX / capital_px(label.font, _PROBE_PX)) - 1)
    while capital_px(label.font, size) < wanted:
        size += 1
    while True:
        font = open_font(label.font, size)
        pad, line = round(size * _PADDING), round(size * _LEADING)
        lines = _lines(label.text, font, round(width * _MOST_OF_WIDTH) - 2 * pad)
        across = max(round(font.getlength(one) + 0.5) for one in lines) + 2 * pad
        down = line * len(lines) + pad
        if size <= _LEAST_PX or (across <= width * _MOST_OF_WIDTH and down <= height * _MOST_OF_HEIGHT):
            break
        size -= 1  # a picture too small, or too narrow, for so much text
    image = Image.new("L", (min(across, width), _even(down + down % 2, height)))
    draw = ImageDraw.Draw(image)
    for number, one in enumerate(lines):
        middle = pad / 2 + line * (number + 0.5)
        draw.text((image.width / 2, middle), one, fill=255, font=font, anchor="mm")
    return np.asarray(np.asarray(image, dtype=np.float32) / 255, dtype=np.float32)


def _resized(mask: _Mask, shape: tuple[int, int]) -> _Mask:
    return np.asarray(cv2.resize(mask, shape, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _lines(text: str, font: ImageFont.FreeTypeFont, width: int) -> Sequence[str]:
    """A text in lines; it may be broken between words, and between any two Chinese letters."""
    lines = [""]
    for word in _WORDS.findall(text.strip()):
        if lines[-1].strip() and font.getlength(lines[-1] + word.rstrip()) > width:
            lines.append("")
        lines[-1] += word if lines[-1] else word.lstrip()
    return [line.rstrip() for line in lines if line.strip()]


def _even(length: "float | Fraction", most: int) -> int:
    """The nearest even length that is no longer than a picture."""
    return max(2, min(2 * round(length / 2), most - most % 2))


def _place(place: Place, shape: tuple[int, int], width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    margin = round(min(float(width * aspect), height) * _MARGIN)
    right, below = max(0, width - shape[0] - round(margin / aspect)), max(0, height - shape[1] - margin)
    name = place.value
    x = min(right, round(margin / aspect)) if "left" in name else right if "right" in name else (width - shape[0]) // 2
    y = min(below, margin) if name.startswith("top") else below
    return x - x % 2, y - y % 2


def _whole(keep: _Mask, add: _Mask) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """In 255ths, with what rounds added: the same pictures come of it on any machine."""
    return np.rint(keep * 255).astype(np.uint32), np.rint(add * 255).astype(np.uint32) + 127


def _blend(plane: Plane, x: int, y: int, keep: npt.NDArray[np.uint32], add: npt.NDArray[np.uint32]) -> None:
    part = plane[y : y + keep.shape[0], x : x + keep.shape[1]]
    part[:] = np.minimum(255, (part * keep + add) // 255)
