"""Still pictures.

A photo is no video: cameras make more pixels than any video has, so it may have more than a frame, and is reduced.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from shared.errors import InvalidMediaError, LimitExceededError
from shared.media.growing import Media, open_media
from shared.media.limits import MediaLimits
from shared.media.planes import Matrix, Planes, rgb_to_planes

PHOTO_MATRIX = Matrix.BT709
"""Photos become limited-range BT.709, as the video made of them says."""

LONGEST_SIDE: Final = 8192
"""Pixels; H.264 allows 8688 at the level of the largest frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A still picture, upright."""

    planes: Planes
    original_size: tuple[int, int]
    """Width and height before it was reduced, upright."""


def read_photo(media: Media, limits: MediaLimits, field: str) -> Photo:
    """Read a JPEG or PNG upright, on white where it is transparent, reduced to what a frame may have.

    Raises:
        InvalidMediaError: it cannot be decoded.
        LimitExceededError: it has more pixels than ``photo_pixels``.
    """
    try:
        with _own_guard(), open_media(media) as file, Image.open(file, formats=("JPEG", "PNG")) as image:
            width, height = image.size
            _check_photo_size(width, height, limits, field)
            small = reduced_size(width, height, limits.frame_pixels)
            if small != (width, height):
                # A JPEG can leave out detail while it is decoded, which saves most of the memory.
                image.draft(image.mode, small)
            picture = _coloured(image)
            if picture.size != small:
                picture = picture.resize(small, Image.Resampling.LANCZOS, reducing_gap=3.0)
            upright = _on_white(ImageOps.exif_transpose(picture))
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidMediaError(f"the picture cannot be decoded ({error})", field=field) from error
    turned = (upright.width > upright.height) != (small[0] > small[1])
    return Photo(
        planes=rgb_to_planes(np.asarray(upright), PHOTO_MATRIX, full_range=False),
        original_size=(height, width) if turned else (width, height),
    )


def reduced_size(width: int, height: int, frame_pixels: int) -> tuple[int, int]:
    """The size that a photo gets: its own where that fits a frame, else the largest even one of its shape that does."""
    scale = min(math.sqrt(frame_pixels / (width * height)), LONGEST_SIDE / max(width, height))
    if scale >= 1:
        return width, height
    # Long and thin ones end at two rows.
    return max(2, int(width * scale) & ~1), max(2, int(height * scale) & ~1)


def check_frame_size(width: int, height: int, limits: MediaLimits, field: str) -> None:
    """Refuse frames of no or too many pixels.

    Raises:
        InvalidMediaError: width or height is 0.
        LimitExceededError: there are more pixels than ``frame_pixels``.
    """
    if width < 1 or height < 1:
        raise InvalidMediaError("the pictures have no size", field=field)
    if width * height > limits.frame_pixels:
        raise LimitExceededError(
            f"frames of {width}x{height} are {width * height} pixels; at most {limits.frame_pixels} are allowed",
            field=field,
            limit="frame_pixels",
        )


def _check_photo_size(width: int, height: int, limits: MediaLimits, field: str) -> None:
    if width < 1 or height < 1:
        raise InvalidMediaError("the picture has no size", field=field)
    if width * height > limits.photo_pixels:
        raise LimitExceededError(
            f"a photo of {width}x{height} is {width * height} pixels; at most {limits.photo_pixels} are allowed",
            field=field,
            limit="photo_pixels",
        )


@contextmanager
def _own_guard() -> Iterator[None]:
    """Leave the guard against decompression bombs to ``photo_pixels``, which is checked before anything is decoded."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _coloured(image: Image.Image) -> Image.Image:
    """Decoded, and of a kind that can be resized: palettes cannot."""
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")
