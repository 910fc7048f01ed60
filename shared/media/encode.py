"""H.264 and AV1 in memory: crops on their way to the node, patches on their way back, pieces of the result."""

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

from shared.errors import InvalidInputError
from shared.media.planes import Matrix, Plane, Planes, pad_to_even
from shared.media.priority import usual_priority

TICKS = 90_000
"""Time base of everything that viseme encodes, in ticks a second."""

_MICROSECONDS = 1_000_000
_AVX512 = 13
"""OpenCV's number for it; a machine that has it has AVX2, too."""
_UNSPECIFIED = 2
_MATRIX_CODES = {Matrix.BT709: 1, Matrix.FCC: 4, Matrix.BT601: 6, Matrix.SMPTE240M: 7, Matrix.BT2020: 9}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourTags:
    """The codes of ISO/IEC 23091-2 that a stream carries about its colours; 2 is "unspecified"."""

    matrix: int = _UNSPECIFIED
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED
    full_range: bool = False

    @classmethod
    def of(cls, matrix: Matrix | str, *, full_range: bool) -> "ColourTags":
        """Tags that say no more than matrix and range."""
        return cls(matrix=_MATRIX_CODES[Matrix(matrix)], full_range=full_range)


class Codec(StrEnum):
    """What pictures are encoded with."""

    H264 = "h264"
    """By x264; rate factor 0 loses nothing."""
    AV1 = "av1"
    """By SVT-AV1."""


_SCALES = {
    Codec.H264: (51, ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow")),
    Codec.AV1: (63, tuple(map(str, range(4, 13)))),
}
"""The largest rate factor, and the presets that are well above real time for a crop on one core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """A codec and how good it must be."""

    codec: Codec
    crf: float
    """The encoder's rate factor: lower is better and larger; 0 to 51 for H.264, 0 to 63 for AV1, whole for AV1."""
    preset: str
    """The encoder's own word for how hard it tries: a name for H.264, a number for AV1."""

    def __str__(self) -> str:
        return f"{self.codec} {self.crf:g} {self.preset}"

    def checked(self, field: str) -> "Coding":
        """The same, if the encoder takes it and is quick with it.

        Raises:
            InvalidInputError: it is not so.
        """
        most, presets = _SCALES[self.codec]
        if not 0 <= self.crf <= most:
            raise InvalidInputError(f"the rate factor of {self.codec} is 0 to {most}, not {self.crf:g}", field=field)
        if self.preset not in presets:
            known = ", ".join(presets)
            raise InvalidInputError(
                f"{self.codec} has no preset {self.preset[:16]!r} here; it has: {known}", field=field
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How pictures become video."""

    rate: Fraction
    """Mean frames a second; times are given with every frame."""
    crf: float
    preset: str = "veryfast"
    codec: Codec = Codec.H264
    colour: ColourTags
    aspect: Fraction = Fraction(1)
    """Width of a pixel over its height."""
    threads: int = 1
    """Fixed, since the bytes depend on it."""
    b_frames: bool = True


def encoding_of(coding: Coding, *, rate: Fraction, colour: ColourTags, b_frames: bool = True) -> Encoding:
    """The encoding of a coding."""
    return Encoding(
        rate=rate, codec=coding.codec, crf=coding.crf, preset=coding.preset, colour=colour, b_frames=b_frames
    )


def ticks(time_us: int) -> int:
    """A time in the time base of everything that viseme encodes."""
    return round(time_us * TICKS / _MICROSECONDS)


def encode_video(frames: Iterable[Planes], times_us: Iterable[int], encoding: Encoding) -> bytes:
    """Encode pictures of one size to an MP4 in memory: one IDR at the start, the same bytes every time.

    Args:
        frames: At least one picture; odd sizes are padded to even.
        times_us: When each is shown, rising.
        encoding: How.
    """
    sink = io.BytesIO()
    options = {"fflags": "+bitexact", "video_track_timescale": str(TICKS)}
    with usual_priority(), av.open(sink, "w", format="mp4", options=options) as out:
        stream = None
        for planes, time_us in zip(map(pad_to_even, frames), times_us, strict=True):
            if stream is None:
                stream = _add_stream(out, planes, encoding)
            frame = to_frame(planes, encoding.colour)
            frame.pts, frame.time_base = ticks(time_us), Fraction(1, TICKS)
            out.mux(stream.encode(frame))
        if stream is None:
            raise ValueError("nothing to encode")
        out.mux(stream.encode(None))
    return sink.getvalue()


def _add_stream(out: av.container.OutputContainer, planes: Planes, encoding: Encoding) -> av.VideoStream:
    encoder, options = _ENCODERS[encoding.codec](encoding)
    stream = out.add_stream(encoder, rate=encoding.rate, options=options)
    if not isinstance(stream, av.VideoStream):
        raise TypeError(f"{encoder} makes pictures")
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = planes.width, planes.height, "yuv420p"
    context.time_base = Fraction(1, TICKS)
    context.thread_count = encoding.threads
    if not encoding.b_frames:
        context.max_b_frames = 0
    context.sample_aspect_ratio = encoding.aspect
    colour = encoding.colour
    context.colorspace, context.color_primaries, context.color_trc = colour.matrix, colour.primaries, colour.transfer
    context.color_range = 2 if colour.full_range else 1
    return stream


def _x264(encoding: Encoding) -> tuple[str, dict[str, str]]:
    return "libx264", {
        "preset": encoding.preset,
        "crf": f"{encoding.crf:g}",
        "threads": str(encoding.threads),
        # The first picture is the only one that needs no other.
        "x264-params": "keyint=infinite:scenecut=0:open-gop=0:sliced-threads=0" + _same_everywhere(),
    }


def _svt_av1(encoding: Encoding) -> tuple[str, dict[str, str]]:
    # It would tell of every encoder on standard error; only its errors are worth a line.
    os.environ.setdefault("SVT_LOG", "1")
    return "libsvtav1", {
        "preset": encoding.preset,
        "crf": f"{encoding.crf:g}",
        "svtav1-params": f"lp={encoding.threads}:keyint=-1:scd=0:tune=0",
    }


_ENCODERS = {Codec.H264: _x264, Codec.AV1: _svt_av1}


def _same_everywhere() -> str:
    """Keep x264 off AVX-512: there its macroblock tree reads memory that was never written, and the bytes vary."""
    return ":asm=AVX2" if cv2.checkHardwareSupport(_AVX512) else ""


def to_frame(planes: Planes, colour: ColourTags) -> VideoFrame:
    """A libav frame with a copy of the planes."""
    frame = VideoFrame(planes.width, planes.height, "yuv420p")
    for target, plane in zip(frame.planes, (planes.y, planes.u, planes.v), strict=True):
        view(target, plane.shape[1], plane.shape[0])[:] = plane
    frame.colorspace, frame.color_range = colour.matrix, 2 if colour.full_range else 1
    frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer
    return frame


def view(plane: av.video.plane.VideoPlane, width: int, height: int) -> Plane:
    """A libav plane as an array that shares its memory."""
    memory: Any = plane  # a buffer, which its stub does not say
    rows: Plane = np.frombuffer(memory, np.uint8, count=plane.line_size * height).reshape(height, plane.line_size)
    return rows[:, :width]
