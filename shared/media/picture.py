"""From a decoder's frame to upright yuv420p planes."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from shared.media.encode import ColourTags, view
from shared.media.planes import Matrix, Plane, Planes

_MATRICES = {
    1: Matrix.BT709,
    4: Matrix.FCC,
    5: Matrix.BT601,
    6: Matrix.BT601,
    7: Matrix.SMPTE240M,
    9: Matrix.BT2020,
    10: Matrix.BT2020,
}
_BT709_CODE = 1
_UNSPECIFIED = 2
_HD_PIXELS = 1280 * 720
_FULL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What holds for all frames of a source."""

    width: int
    """As displayed, in pixels; may be odd."""
    height: int
    """As displayed, in pixels; may be odd."""
    matrix: Matrix
    """As tagged; guessed from the size where it is not."""
    full_range: bool
    colour: ColourTags
    """As tagged."""
    aspect: Fraction
    """Width of a displayed pixel over its height."""
    rate: Fraction
    """Mean frames a second as far as the container says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """How stored planes become upright ones: transposed, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def change(self) -> Callable[[Plane], Plane] | None:
        """The change to make to each plane; None where there is none to make."""
        if not (self.transpose or self.mirror_x or self.mirror_y):
            return None
        rows, columns = (slice(None, None, -1 if mirror else 1) for mirror in (self.mirror_y, self.mirror_x))
        return lambda plane: (plane.T if self.transpose else plane)[rows, columns]


def orientation_of(frame: VideoFrame) -> Orientation:
    """What a frame's display matrix asks for, to the nearest quarter turn."""
    side = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload] # the stub knows motion vectors only
    if side is None:
        return Orientation()
    a, b, _, c, d, *_ = struct.unpack("9i", bytes(side))
    if abs(b) > abs(a):
        return Orientation(transpose=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(mirror_x=a < 0, mirror_y=d < 0)


def describe(frame: VideoFrame, planes: Planes, aspect: Fraction, rate: Fraction) -> SourceInfo:
    """What the first frame says of all of them."""
    tags = colour_of(frame)
    guess = Matrix.BT709 if planes.width * planes.height >= _HD_PIXELS else Matrix.BT601
    turned = orientation_of(frame).transpose
    return SourceInfo(
        width=planes.width,
        height=planes.height,
        matrix=_MATRICES.get(tags.matrix, guess),
        full_range=tags.full_range,
        colour=tags,
        aspect=1 / aspect if turned else aspect,
        rate=rate,
    )


def colour_of(frame: VideoFrame) -> ColourTags:
    """The tags of a frame once it is yuv420p."""
    if _converts_matrix(frame):
        return ColourTags(matrix=_BT709_CODE, primaries=_BT709_CODE, transfer=_BT709_CODE, full_range=False)
    return ColourTags(
        matrix=int(frame.colorspace) if int(frame.colorspace) in _MATRICES else _UNSPECIFIED,
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        full_range=int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj"),
    )


def upright_planes(frame: VideoFrame, width: int, height: int, orientation: Orientation | None = None) -> Planes:
    """Planes of a frame, rotated for display; they share the frame's memory where nothing had to be done.

    Args:
        frame: As decoded.
        width: What all frames of the source have as stored; others are scaled to it.
        height: The same.
        orientation: What all frames of the source have; None to look at this one. A frame whose side data was looked at
            is in a reference cycle with it and is only freed by the garbage collector, far too late for video.
    """
    orientation = orientation or orientation_of(frame)
    frame = _to_yuv420p(frame, width, height)
    half_width, half_height = (width + 1) // 2, (height + 1) // 2
    planes = Planes(
        y=view(frame.planes[0], width, height),
        u=view(frame.planes[1], half_width, half_height),
        v=view(frame.planes[2], half_width, half_height),
    )
    change = orientation.change
    return planes.map(change) if change else planes


def _to_yuv420p(frame: VideoFrame, width: int, height: int) -> VideoFrame:
    name = frame.format.name
    same_size = frame.width == width and frame.height == height
    if same_size and name in {"yuv420p", "yuvj420p", "yuva420p"} and all(plane.line_size > 0 for plane in frame.planes):
        return frame
    if name == "yuva420p":  # its colours are not premultiplied; without alpha it is plain yuv420p
        return frame.reformat(width, height, format="yuv420p", interpolation="BICUBIC", threads=1)
    if _converts_matrix(frame):
        return frame.reformat(
            width, height, format="yuv420p", dst_colorspace="itu709", dst_color_range="MPEG", threads=1
        )
    full = colour_of(frame).full_range
    kept = "JPEG" if full else "MPEG"
    return frame.reformat(
        width,
        height,
        format="yuv420p",
        interpolation="BICUBIC",
        src_color_range=kept,
        dst_color_range=kept,
        threads=1,
    )


def _converts_matrix(frame: VideoFrame) -> bool:
    """True for frames that are not Y, Cb and Cr: RGB, palettes, YCgCo."""
    fmt = frame.format
    return fmt.is_rgb or fmt.has_palette or int(frame.colorspace) in {0, 8}


def to_microseconds(ticks: int, time_base: Fraction) -> int:
    """A duration in a stream's time base as whole microseconds."""
    return round(ticks * time_base * 1_000_000)


def frame_bytes(width: int, height: int) -> int:
    """Memory that the planes of a frame of this size take."""
    return int(np.ceil(width / 2) * np.ceil(height / 2) * 6)
