"""A small picture of a file: what a list shows of a video or photo, and what is seen of one that is being made."""

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from shared.errors import InternalError, InvalidMediaError
from shared.media.container import media_errors, sniff
from shared.media.decoder import VideoDecoder
from shared.media.limits import MediaLimits
from shared.media.photo import PHOTO_MATRIX, check_frame_size, read_photo
from shared.media.picture import describe, upright_planes
from shared.media.planes import planes_to_rgb
from shared.media.sandbox import Channel

SIDE: Final = 480
"""Pixels of the longer side at most."""
_QUALITY: Final = 80


def take_picture(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: make a picture of a file.

    Arguments: ``path``, ``field``, ``limits`` (of :class:`MediaLimits`), and ``at_us``: when the frame is shown that is
    taken, or None for the last. Sends one message, whose payload is a JPEG.
    """
    path, field = Path(arguments["path"]), str(arguments.get("field", ""))
    limits = MediaLimits(**arguments.get("limits", {}))
    kind = sniff(path, field)
    if kind.is_photo:
        pixels = planes_to_rgb(read_photo(path, limits, field).planes, PHOTO_MATRIX, full_range=False)
    else:
        with VideoDecoder(path, kind, limits, field) as decoder:
            pixels = _frame(decoder, arguments["at_us"], limits, field)
    channel.send({}, _jpeg(pixels))


def _frame(decoder: VideoDecoder, at_us: int | None, limits: MediaLimits, field: str) -> npt.NDArray[np.uint8]:
    """The pixels of a frame as displayed; the last before its time where no later one can be decoded."""
    taken: VideoFrame | None = None
    while (frame := decoder.next()) is not None:
        taken = frame
        if at_us is not None and (decoder.time_us(frame) or 0) >= at_us:
            break
    if taken is None:
        raise InvalidMediaError("the video holds no frame that can be decoded", field=field)
    check_frame_size(taken.width, taken.height, limits, field)
    with media_errors(field):
        planes = upright_planes(taken, taken.width, taken.height)
    told = describe(taken, planes, decoder.aspect, decoder.rate)
    pixels = planes_to_rgb(planes, told.matrix, full_range=told.full_range)
    if told.aspect == 1:
        return pixels
    height, width = pixels.shape[:2]
    # A file may say that its pixels are of any shape.
    shown = min(max(1, round(width * told.aspect)), 4 * max(width, height))
    return np.asarray(cv2.resize(pixels, (shown, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    height, width = pixels.shape[:2]
    scale = SIDE / max(width, height)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise InternalError("a picture could not be written")
    return bytes(data)
