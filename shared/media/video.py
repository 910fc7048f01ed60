"""Frames of a video or photo, in order or at random, exact to the frame.

Frame i is the i-th that a decoder gives which starts at the file's beginning; whatever way a frame is asked for, it is
that one, bit for bit.
"""

import io
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av
from av.video.frame import VideoFrame

from shared.errors import InvalidMediaError, LimitExceededError
from shared.media.container import Container, media_errors, sniff
from shared.media.decoder import VideoDecoder
from shared.media.encode import Codec, ColourTags, Encoding, encode_video
from shared.media.growing import Media
from shared.media.limits import MediaLimits
from shared.media.photo import PHOTO_MATRIX, check_frame_size, read_photo
from shared.media.picture import Orientation, SourceInfo, describe, frame_bytes, orientation_of, upright_planes
from shared.media.planes import Matrix, Planes, pad_to_even, planes_to_rgb, rgb_to_planes

__all__ = [
    "ColourTags",
    "Encoding",
    "FrameReader",
    "Matrix",
    "Planes",
    "SourceFrame",
    "SourceInfo",
    "decode_video",
    "encode_video",
    "pad_to_even",
    "planes_to_rgb",
    "rgb_to_planes",
]

PHOTO_RATE = Fraction(25)
"""Frames a second that a photo is held at."""

_CODECS = tuple(map(str, Codec))
_DECODERS = {"codec_whitelist": "h264,libdav1d"}
"""All that may look at a segment: other decoders of the library are not started on what a peer sends."""
_SECOND = 1_000_000
_SKIP_FRAMES = 48
"""Frames that are rather decoded than sought over."""
_STEPS_BACK_US = (0, 2 * _SECOND, 10 * _SECOND)
"""How much earlier to seek when a seek has landed behind the frame wanted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceFrame:
    """One frame of a source."""

    index: int
    time_us: int
    """From the first frame."""
    planes: Planes


class FrameReader:
    """Reads one source; a context manager, for one thread.

    ``source`` describes it once entered. Iterating gives every frame from the first; ``end_us`` is known after that.

    Raises:
        InvalidMediaError: no frame can be decoded, or the file ends long before it should.
        LimitExceededError: frames, their number or the length are beyond the limits.
    """

    source: SourceInfo

    def __init__(self, media: Media, limits: MediaLimits, field: str = "video") -> None:
        self._media = media
        self._limits = limits
        self._field = field
        self._stack = ExitStack()
        self._decoder: VideoDecoder | None = None
        self._photo: Planes | None = None
        self._pending: VideoFrame | None = None
        self._next = 0  # the index of the frame that _advance gives
        self._times: list[int] = []
        self._hints: dict[int, int] = {}
        self._index_of: dict[int, int] = {}
        self._seekable = True
        self._sought = False
        self._cache: OrderedDict[int, Planes] = OrderedDict()
        self._end_us: int | None = None
        self._going_back = False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            kind = sniff(self._media, self._field)
            if kind.is_photo:
                self._open_photo()
            else:
                self._open_video(stack, kind)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cache.clear()
        self._pending = None
        self._stack.close()

    @property
    def end_us(self) -> int:
        """When the last frame ends, from the first; only after all frames were read in order."""
        if self._end_us is None:
            raise RuntimeError("the end is known after the last frame")
        return self._end_us

    def __iter__(self) -> Iterator[SourceFrame]:
        """Every frame, from the first."""
        if self._photo is not None:
            yield SourceFrame(index=0, time_us=0, planes=self._photo)
            return
        if self._next != 0:
            self._rewind()
        while (frame := self._advance()) is not None:
            index = self._next - 1
            yield SourceFrame(index=index, time_us=self._times[index], planes=self._planes(frame))

    def learn(self, times_us: Mapping[int, int]) -> None:
        """Take over what an earlier pass found: times by frame number, so that they need not be found again."""
        for index, time_us in times_us.items():
            self._hints[index] = time_us
            self._index_of[time_us] = index

    def frames(self, indices: Sequence[int]) -> Iterator[Planes]:
        """The frames of these numbers, in this order; quickest in runs, forwards or backwards.

        Raises:
            InvalidMediaError: the source has no such frame.
        """
        if self._photo is not None:
            for _ in indices:
                yield self._photo
            return
        for place, index in enumerate(indices):
            if place + 1 < len(indices):
                self._going_back = indices[place + 1] < index
            planes = self._cache.get(index)
            if planes is None:
                planes = self._fetch(index)
            else:
                self._cache.move_to_end(index)
            yield planes

    def _open_photo(self) -> None:
        photo = read_photo(self._media, self._limits, self._field).planes
        self._photo = photo
        self._end_us = round(_SECOND / PHOTO_RATE)
        self.source = SourceInfo(
            width=photo.width,
            height=photo.height,
            matrix=PHOTO_MATRIX,
            full_range=False,
            colour=ColourTags(matrix=1, primaries=1, transfer=1),
            aspect=Fraction(1),
            rate=PHOTO_RATE,
        )

    def _open_video(self, stack: ExitStack, kind: Container) -> None:
        decoder = stack.enter_context(VideoDecoder(self._media, kind, self._limits, self._field))
        self._decoder = decoder
        first = decoder.next()
        if first is None:
            raise InvalidMediaError("the video holds no frame that can be decoded", field=self._field)
        check_frame_size(first.width, first.height, self._limits, self._field)
        self._pending = first
        self._size = (first.width, first.height)
        self._orientation = orientation_of(first)
        self.source = describe(first, self._planes(first), decoder.aspect, decoder.rate)

    def _planes(self, frame: VideoFrame) -> Planes:
        with media_errors(self._field):
            return upright_planes(frame, *self._size, self._orientation)

    @property
    def _open_decoder(self) -> VideoDecoder:
        if self._decoder is None:
            raise RuntimeError("the reader is not open")
        return self._decoder

    def _advance(self) -> VideoFrame | None:
        """The next frame; moves on by one. None at the end, which is then known."""
        frame, self._pending = self._pending, None
        if frame is None:
            frame = self._open_decoder.next()
        if frame is None:
            self._finish()
            return None
        index = self._next
        if index == len(self._times):
            self._record(frame)
        self._next = index + 1
        return frame

    def _record(self, frame: VideoFrame) -> None:
        """Note the time of a frame that is seen for the first time, and check it against the limits."""
        decoder, index = self._open_decoder, len(self._times)
        time_us = decoder.time_us(frame)
        step = decoder.step_us
        if index == 0:
            time_us = 0
        elif time_us is None or time_us <= self._times[-1]:
            self._seekable = self._seekable and time_us is None  # times that fall are no use to seek by
            time_us = self._times[-1] + step
        limits = self._limits
        if time_us + step > limits.duration_seconds * _SECOND + step:
            raise LimitExceededError(
                f"the video is longer than the {limits.duration_seconds:g} s allowed",
                field=self._field,
                limit="duration_seconds",
            )
        pixels = self._size[0] * self._size[1]
        if (index + 1) * pixels > limits.decoded_pixels:
            raise LimitExceededError(
                f"the video has more than the {limits.decoded_pixels} pixels allowed over all its frames"
                f" (frame {index} of {pixels} pixels each was reached)",
                field=self._field,
                limit="decoded_pixels",
            )
        self._times.append(time_us)
        self._index_of[time_us] = index
        self._last_us = decoder.duration_us(frame)

    def _finish(self) -> None:
        if self._end_us is not None or self._next != len(self._times):
            return
        step = self._open_decoder.step_us
        if len(self._times) > 1:
            step = self._times[-1] - self._times[-2]
        self._end_us = self._times[-1] + (self._last_us or step)
        self._open_decoder.check_complete(self._end_us)

    def _fetch(self, index: int) -> Planes:
        """Decode a frame that is not in the cache, and those before it when they will be asked for next."""
        room = max(1, self._limits.frame_cache_bytes // frame_bytes(*self._size))
        first = max(0, index - room + 1) if self._going_back else index
        self._go_to(first)
        planes: Planes | None = None
        while self._next <= index:
            at = self._next
            frame = self._advance()
            if frame is not None and self._sought and not self._is(frame, at):
                # Times that a seek led to do not agree with those of the first pass: count instead.
                self._seekable = False
                self._rewind()
                continue
            if frame is None:
                raise InvalidMediaError(f"the video has no frame {index}", field=self._field)
            if at < first:
                continue
            planes = self._planes(frame)
            self._cache[at] = planes
            self._cache.move_to_end(at)
            if len(self._cache) > room:
                self._cache.popitem(last=False)
        if planes is None:
            raise InvalidMediaError(f"the video has no frame {index}", field=self._field)
        return planes

    def _is(self, frame: VideoFrame, index: int) -> bool:
        known = self._times[index] if index < len(self._times) else self._hints.get(index)
        found = self._open_decoder.time_us(frame)
        return known is None or found is None or known == found

    def _go_to(self, index: int) -> None:
        """Get the decoder to where it comes by a frame."""
        if self._next <= index and (index - self._next <= _SKIP_FRAMES or not self._can_seek(index)):
            return
        if index == 0 or not self._can_seek(index) or not self._seek(index):
            self._rewind()

    def _can_seek(self, index: int) -> bool:
        return self._seekable and (index < len(self._times) or index in self._hints)

    def _seek(self, index: int) -> bool:
        wanted_us = self._times[index] if index < len(self._times) else self._hints[index]
        for back_us in _STEPS_BACK_US:
            if wanted_us - back_us <= 0:
                break
            if self._try_seek(wanted_us - back_us, wanted_us):
                return True
        return False

    def _try_seek(self, target_us: int, wanted_us: int) -> bool:
        """Seek, and find out which frame comes next; False where it is one after that wanted."""
        decoder = self._open_decoder
        decoder.seek(target_us)
        self._pending, self._sought = None, True
        clean = False
        while (frame := decoder.next()) is not None:
            time_us = decoder.time_us(frame)
            if time_us is None or time_us > wanted_us:
                return False
            # What comes out before the keyframe may refer to frames that were not decoded.
            clean = clean or bool(frame.key_frame)
            if clean and time_us in self._index_of:
                self._pending, self._next = frame, self._index_of[time_us]
                return True
        return False

    def _rewind(self) -> None:
        """Start anew, just as the first time."""
        self._pending = None
        # Frames of the decoder that goes would keep the memory of all that it ever made.
        self._cache.clear()
        self._open_decoder.reopen()
        self._next, self._sought = 0, False


def decode_video(data: bytes, *, max_frames: int, max_pixels: int) -> list[Planes]:
    """Decode a short MP4 in memory: crops and patches as :func:`encode_video` makes them.

    Raises:
        InvalidMediaError: it is not such a video.
        LimitExceededError: it has more or larger frames than it may.
    """
    frames: list[Planes] = []
    refuse: Any = [{"max_pixels": str(max_pixels)} | _DECODERS]  # dicts, whatever PyAV's stub says
    with (
        media_errors("segment"),
        av.open(io.BytesIO(data), "r", format="mov", options=_DECODERS, stream_options=refuse) as container,
    ):
        if not container.streams.video:
            raise InvalidMediaError("a segment holds no pictures", field="segment")
        stream = container.streams.video[0]
        codec = stream.codec_context
        if codec is None or codec.codec.canonical_name not in _CODECS:
            name = "an unknown codec" if codec is None else codec.codec.canonical_name
            raise InvalidMediaError(f"a segment is in {name}; it must be in {' or '.join(_CODECS)}", field="segment")
        stream.thread_count = 1
        if stream.width * stream.height > max_pixels:
            raise LimitExceededError("a segment's frames are too large", field="segment", limit="frame_pixels")
        for frame in container.decode(stream):
            if len(frames) == max_frames:
                raise LimitExceededError("a segment has too many frames", field="segment", limit="segment_frames")
            frames.append(upright_planes(frame, frame.width, frame.height, Orientation()))
    return frames
