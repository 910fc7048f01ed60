"""Still pictures."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from shared.errors import InvalidMediaError, LimitExceededError
from shared.media.limits import MediaLimits
from shared.media.planes import Matrix, Planes, rgb_to_planes

PHOTO_MATRIX = Matrix.BT709
"""Photos become limited-range BT.709, as the video made of them says."""


def read_photo(path: Path, limits: MediaLimits, field: str) -> Planes:
    """Read a JPEG or PNG upright, on white where it is transparent.

    Raises:
        InvalidMediaError: it cannot be decoded.
        LimitExceededError: it has more pixels than ``frame_pixels``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("JPEG", "PNG")) as image:
                check_frame_size(*image.size, limits, field)
                upright = ImageOps.exif_transpose(image)
                rgb = _on_white(upright)
    except Image.DecompressionBombError:
        raise LimitExceededError(
            f"the picture has far more than the {limits.frame_pixels} pixels allowed", field=field, limit="frame_pixels"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidMediaError(f"the picture cannot be decoded ({error})", field=field) from error
    return rgb_to_planes(np.asarray(rgb), PHOTO_MATRIX, full_range=False)


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


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("RGB")
