"""Which frame of the source is shown when: pure, and answerable while the source is still being decoded.

A source is shown once through; when the speech goes on, a fit mode says how. Every shown frame keeps its own duration,
forwards or backwards, so sources of variable frame rate stay what they are. The result is cut into segments by time
alone: the same source, speech and options give the same segments, however far decoding had come when each was asked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle, repeat

SEGMENT_SECONDS = 2.0
SEGMENT_FRAMES = 240
"""Frames after which a segment ends, however short it is: slow motion is filmed at 240 a second, and more."""
"""About how much of the result is one segment."""

_SECOND = 1_000_000
_LEAST_US = 400_000
"""A segment that is shorter does not end at a cut: each costs a key frame and an order."""
_PHOTO_STEP_US = 40_000
_END = "end"


class FitMode(StrEnum):
    """What to do when the speech is longer than the video."""

    TRIM = "trim"
    LOOP = "loop"
    BOUNCE = "bounce"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFrame:
    """One frame of the result."""

    index: int
    source: int
    """Which source frame it shows."""
    time_us: int
    """When it is shown, from the first."""
    end_us: int
    """When the next is shown, or the result ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSegment:
    """About two seconds of the result, encoded by themselves."""

    index: int
    frames: tuple[OutputFrame, ...]
    is_last: bool = False
    """Whether the result ends with it."""

    @property
    def start_us(self) -> int:
        """When its first frame is shown."""
        return self.frames[0].time_us

    @property
    def end_us(self) -> int:
        """When its last frame ends."""
        return self.frames[-1].end_us

    @property
    def sources(self) -> tuple[int, ...]:
        """The source frame of each of its frames."""
        return tuple(frame.source for frame in self.frames)


class SourceTimes:
    """When each frame of a source is shown; grows while the source is decoded.

    Args:
        times_us: Of the frames known at the start, from the first at 0, rising.
        end_us: When the last frame ends; None while it is not known.
    """

    def __init__(self, times_us: list[int] | None = None, end_us: int | None = None) -> None:
        self._times: list[int] = []
        self._end_us: int | None = None
        for time_us in times_us or ():
            self.add(time_us)
        if end_us is not None:
            self.finish(end_us)

    def __len__(self) -> int:
        return len(self._times)

    @property
    def end_us(self) -> int | None:
        """When the last frame ends; None while it is not known."""
        return self._end_us

    def add(self, time_us: int) -> None:
        """Note the next frame."""
        if self._end_us is not None or (self._times and time_us <= self._times[-1]):
            raise ValueError("a source's times rise until its end")
        self._times.append(time_us)

    def finish(self, end_us: int) -> None:
        """Note that there are no more frames."""
        if not self._times or end_us <= self._times[-1]:
            raise ValueError("a source ends after its last frame")
        self._end_us = end_us

    def duration_us(self, index: int) -> int | None:
        """How long a frame is shown; None while that is not known."""
        if index + 1 < len(self._times):
            return self._times[index + 1] - self._times[index]
        if self._end_us is not None and index + 1 == len(self._times):
            return self._end_us - self._times[index]
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A source frame in the order of showing."""

    source: int
    duration_us: int
    first_time: bool
    """The source is being shown for the first time."""


class Timeline:
    """The plan of a result.

    Args:
        source: The source's times; may still grow.
        speech_us: The speech's length.
        fit: What to do when the speech is longer.
        keep_length: When the speech is shorter, show the source to its end all the same.
        segment_seconds: About how long a segment is.
        is_cut: Whether a segment had better not go on from one source frame to another.
    """

    def __init__(
        self,
        source: SourceTimes,
        *,
        speech_us: int,
        fit: FitMode = FitMode.BOUNCE,
        keep_length: bool = False,
        segment_seconds: float = SEGMENT_SECONDS,
        is_cut: Callable[[int, int], bool] = lambda _before, _after: False,
    ) -> None:
        if speech_us <= 0:
            raise ValueError("a result needs speech")
        self._source = source
        self._speech_us = speech_us
        self._fit = fit
        self._keep_length = keep_length
        self._segment_us = round(segment_seconds * _SECOND)
        self._is_cut = is_cut
        self._segments: list[OutputSegment] = []
        self._pending: list[OutputFrame] = []
        self._frames = self._shown()
        self._complete = False

    @property
    def segments(self) -> list[OutputSegment]:
        """The segments that can be planned with what is known of the source; more once more is known."""
        while not self._complete:
            frame = next(self._frames, _END)
            if frame is None:
                break
            if isinstance(frame, OutputFrame):
                if self._pending and self._is_full(frame):
                    self._close_segment()
                self._pending.append(frame)
            else:
                self._close_segment(is_last=True)
                self._complete = True
        return self._segments

    @property
    def complete(self) -> bool:
        """True once every segment is planned; may come before the source is known to its end."""
        _ = self.segments
        return self._complete

    @property
    def frame_count(self) -> int:
        """Frames of the result, as far as its segments are planned."""
        segments = self.segments
        return segments[-1].frames[-1].index + 1 if segments else 0

    @property
    def length_us(self) -> int:
        """Length of the result, as far as its segments are planned."""
        segments = self.segments
        return segments[-1].end_us if segments else 0

    def expected_length_us(self, source_end_us: int) -> int:
        """About how long the result will be, to a frame, from a guess of the source's length."""
        if self._speech_us < source_end_us:
            return source_end_us if self._keep_length else self._speech_us
        return source_end_us if self._fit is FitMode.TRIM else self._speech_us

    def _is_full(self, following: OutputFrame) -> bool:
        lasted = following.time_us - self._pending[0].time_us
        if lasted >= self._segment_us or len(self._pending) >= SEGMENT_FRAMES:
            return True
        return lasted >= _LEAST_US and self._is_cut(self._pending[-1].source, following.source)

    def _close_segment(self, *, is_last: bool = False) -> None:
        segment = OutputSegment(index=len(self._segments), frames=tuple(self._pending), is_last=is_last)
        self._segments.append(segment)
        self._pending = []

    def _shown(self) -> Iterator[OutputFrame | None]:
        """The frames of the result; None as long as the next cannot be told."""
        time_us = index = 0
        for step in self._steps():
            if step is None:
                yield None
                continue
            first_time = step.first_time
            if not first_time and self._fit is FitMode.TRIM and len(self._source) > 1:
                return
            if time_us >= self._speech_us and not (self._keep_length and first_time):
                return
            end_us = time_us + step.duration_us
            yield OutputFrame(index=index, source=step.source, time_us=time_us, end_us=end_us)
            time_us, index = end_us, index + 1

    def _steps(self) -> Iterator[_Step | None]:
        """Source frames in the order in which they would be shown for ever; None as long as the next is not known."""
        source, index = self._source, 0
        while source.end_us is None or index < len(source):
            duration_us = source.duration_us(index)
            if duration_us is None:
                yield None
                continue
            single = source.end_us is not None and len(source) == 1
            yield _Step(source=index, duration_us=_PHOTO_STEP_US if single else duration_us, first_time=True)
            index += 1
        yield from self._again()

    def _again(self) -> Iterator[_Step]:
        """What follows when the source, now known to its end, has been shown once."""
        source, size = self._source, len(self._source)
        if size == 1:
            yield from repeat(_Step(source=0, duration_us=_PHOTO_STEP_US, first_time=False))
        if self._fit is FitMode.HOLD:
            mean_us = max(1, round((source.end_us or 0) / size))
            yield from repeat(_Step(source=size - 1, duration_us=mean_us, first_time=False))
        back = () if self._fit is FitMode.LOOP else range(size - 2, -1, -1)
        turn = 0 if self._fit is FitMode.LOOP else 1
        for index in cycle((*back, *range(turn, size))):
            yield _Step(source=index, duration_us=source.duration_us(index) or 1, first_time=False)


def plan(
    source_times_us: list[int],
    source_end_us: int,
    speech_us: int,
    fit: FitMode = FitMode.BOUNCE,
    *,
    keep_length: bool = False,
) -> Timeline:
    """Plan the result of a source that is known to its end."""
    source = SourceTimes(source_times_us, source_end_us)
    return Timeline(source, speech_us=speech_us, fit=fit, keep_length=keep_length)
