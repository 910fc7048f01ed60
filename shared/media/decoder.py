"""One pass over the pictures of a container."""

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from types import TracebackType
from typing import Self

import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from shared.errors import InvalidMediaError
from shared.media.container import Container, decoder_pixels, media_errors, open_container
from shared.media.growing import Media
from shared.media.limits import MediaLimits
from shared.media.photo import check_frame_size
from shared.media.picture import to_microseconds

_THREADS = 2
_SECOND = 1_000_000
_GUESSED_RATE = Fraction(25)
_COMPLETE = 0.9
"""The share of its length that a video must have for its end not to count as cut off."""


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The first stream of moving pictures; cover art is none."""
    for stream in container.streams.video:
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
            return stream
    return None


def readable_stream(container: InputContainer, field: str) -> VideoStream | None:
    """The first stream of moving pictures, which can be decoded; None where there is none.

    Raises:
        InvalidMediaError: there is one in a codec that nothing here reads.
    """
    stream = picture_stream(container)
    if stream is not None and stream.codec_context is None:
        raise InvalidMediaError("the pictures are in a codec that viseme does not read", field=field)
    return stream


def mean_rate(stream: VideoStream) -> Fraction:
    """Mean frames a second as far as the container says, within reason."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0 < rate <= 1000:
            return Fraction(rate.numerator, rate.denominator)
    return _GUESSED_RATE


def declared_us(container: InputContainer, stream: VideoStream) -> int:
    """The length of the pictures as far as the container says; 0 where it does not."""
    if stream.duration and stream.time_base:
        return to_microseconds(stream.duration, stream.time_base)
    tagged = _tagged_us(stream.metadata.get("DURATION", ""))
    if tagged:
        return tagged
    # The container's length is that of its longest stream.
    return container.duration or 0 if not container.streams.audio else 0


def _tagged_us(text: str) -> int:
    """Matroska's way to say a stream's length, ``hours:minutes:seconds``."""
    try:
        hours, minutes, seconds = text.split(":")
        return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * _SECOND)
    except ValueError:
        return 0


class VideoDecoder:
    """Gives decoded frames one after the other; can seek and start anew. A context manager."""

    aspect: Fraction
    rate: Fraction
    _container: InputContainer
    _stream: VideoStream
    _frames: Iterator[VideoFrame]

    def __init__(self, media: Media, kind: Container, limits: MediaLimits, field: str) -> None:
        self._media = media
        self._kind = kind
        self._limits = limits
        self._field = field
        self._stack = ExitStack()
        self._first_pts: int | None = None

    def __enter__(self) -> Self:
        self.reopen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frames = iter(())
        self._stack.close()

    @property
    def codec(self) -> str:
        """The codec's name: h264, hevc, vp9, av1, ..."""
        return str(self._stream.codec_context.codec.canonical_name)

    @property
    def step_us(self) -> int:
        """The nominal duration of a frame."""
        return max(1, round(_SECOND / self.rate))

    def reopen(self) -> None:
        """Start at the beginning of the file, in the state of the first time."""
        self._stack.close()
        with ExitStack() as stack:
            container = stack.enter_context(open_container(self._media, self._kind, self._limits, self._field))
            stream = readable_stream(container, self._field)
            if stream is None:
                raise InvalidMediaError("the file holds no moving pictures", field=self._field)
            context: VideoCodecContext = stream.codec_context
            check_frame_size(context.width, context.height, self._limits, self._field)
            context.options = {"max_pixels": str(decoder_pixels(self._limits))}
            stream.thread_count = _THREADS
            # AVI tells no times of display; those of decoding rise with it as long as frames come singly.
            stream.thread_type = "SLICE" if self._kind is Container.AVI else "AUTO"
            self._stack = stack.pop_all()
        self._container, self._stream = container, stream
        self._time_base = stream.time_base or Fraction(1, _SECOND)
        self.aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        self.rate = mean_rate(stream)
        self._frames = self._decode()

    def next(self) -> VideoFrame | None:
        """The next frame in order of display; None at the end."""
        frame = next(self._frames, None)
        if frame is not None and self._first_pts is None:
            self._first_pts = self._pts(frame) or 0
        return frame

    def seek(self, time_us: int) -> None:
        """Go on from a keyframe at or before a time."""
        pts = (self._first_pts or 0) + int(Fraction(time_us, _SECOND) / self._time_base)
        with media_errors(self._field):
            self._container.seek(pts, stream=self._stream)
        self._frames = self._decode()

    def time_us(self, frame: VideoFrame) -> int | None:
        """When a frame is shown, from the first; None where the file does not say."""
        pts = self._pts(frame)
        return None if pts is None else to_microseconds(pts - (self._first_pts or 0), self._time_base)

    def duration_us(self, frame: VideoFrame) -> int:
        """How long a frame is shown; 0 where the file does not say."""
        return to_microseconds(frame.duration, self._time_base) if frame.duration else 0

    def check_complete(self, end_us: int) -> None:
        """Refuse a video whose end is missing.

        Raises:
            InvalidMediaError: it ends long before the time that the container declares.
        """
        declared = declared_us(self._container, self._stream)
        if end_us < declared * _COMPLETE:
            raise InvalidMediaError(
                f"the video is truncated: it decodes to {end_us / _SECOND:.2f} s of {declared / _SECOND:.2f} s",
                field=self._field,
            )

    def _pts(self, frame: VideoFrame) -> int | None:
        return frame.dts if self._kind is Container.AVI else frame.pts

    def _decode(self) -> Iterator[VideoFrame]:
        with media_errors(self._field):
            packets = self._container.demux(self._stream)
            while True:
                try:
                    packet = next(packets, None)
                except av.error.InvalidDataError:
                    return  # what follows cannot be read; check_complete says whether that matters
                if packet is None:
                    return
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    continue  # one broken packet is no reason to drop the film
                yield from frames
