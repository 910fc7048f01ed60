"""What is known about a running job, stage by stage: how far, how fast, how long still. No drawing here."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.sdk.model import JobState, Progress, Stage, Transfer

_WINDOW_S = 10.0
"""The rate is that of the last seconds."""

_MIB = 1 << 20


@dataclass(slots=True)
class Track:
    """One stage: amounts in frames, or in bytes for upload and download."""

    stage: Stage
    in_bytes: bool
    done: int = 0
    total: int = 0
    skipped: int = 0
    by_other: bool = False
    """Whether another client uploads a file of it."""
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def update(self, now: float, *, done: int, total: int) -> None:
        """Note how far it is."""
        self.done = max(self.done, done)
        self.total = max(self.total, total, self.done if self.total else 0)
        # What need not be moved says nothing about the link.
        self._samples.append((now, max(0, self.done - self.skipped)))
        while len(self._samples) > 2 and self._samples[0][0] < now - _WINDOW_S:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Amount a second, of late; 0 while unknown."""
        if len(self._samples) < 2:
            return 0.0
        (first, before), (last, after) = self._samples[0], self._samples[-1]
        return (after - before) / (last - first) if last > first else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that are left at this rate; None while unknown."""
        if not self.total or self.rate <= 0:
            return None
        return max(0, self.total - self.done) / self.rate

    @property
    def complete(self) -> bool:
        """Whether it is done."""
        return self.total > 0 and self.done >= self.total

    def amount(self) -> str:
        """How far, in words."""
        if self.in_bytes:
            whole = f"/{self.total / _MIB:.1f}" if self.total else ""
            return f"{self.done / _MIB:.1f}{whole} MiB"
        whole = f"/{self.total}" if self.total else ""
        return f"{self.done}{whole} frames"

    def speed(self) -> str:
        """How fast, in words; empty while unknown."""
        if self.rate <= 0 or self.by_other:
            return ""
        return f"{self.rate / _MIB:.1f} MiB/s" if self.in_bytes else f"{self.rate:.0f}/s"

    def left(self) -> str:
        """How long still, in words; empty while unknown."""
        if self.complete or self.left_s is None or self.by_other:
            return ""
        return f"{duration(self.left_s)} left"

    def spared(self) -> str:
        """What need not be moved, in words; empty where that is nothing to speak of."""
        if self.by_other and not self.complete:
            return "another upload of the same file is under way"
        return f"{self.skipped / _MIB:.1f} MiB were there" if self.skipped >= _MIB // 10 else ""

    def line(self) -> str:
        """All of it in one line."""
        parts = (self.amount(), self.speed(), self.left(), self.spared())
        return f"{self.stage} " + ", ".join(part for part in parts if part)


class Board:
    """All stages of one run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.tracks: dict[Stage, Track] = {}
        self.state: JobState | None = None
        self._clock = clock
        self._files: dict[Stage, dict[str, Transfer]] = {Stage.UPLOAD: {}, Stage.DOWNLOAD: {}}

    def moved(self, stage: Stage, transfer: Transfer) -> Track:
        """Note a transfer; several files count as one stage."""
        files = self._files[stage]
        files[transfer.name] = transfer
        track = self._track(stage, in_bytes=True)
        track.by_other = any(file.by_other for file in files.values())
        track.skipped = sum(file.skipped_bytes for file in files.values())
        track.update(
            self._clock(),
            done=sum(file.done_bytes for file in files.values()),
            total=sum(file.size_bytes for file in files.values()),
        )
        return track

    def progressed(self, event: Progress) -> Track:
        """Note an event."""
        moves_bytes = event.done_bytes > 0 and not event.done_frames
        track = self._track(event.stage, in_bytes=moves_bytes)
        if track.in_bytes:
            track.update(self._clock(), done=event.done_bytes, total=0)
        else:
            track.update(self._clock(), done=event.done_frames, total=event.total_frames)
        return track

    def line(self) -> str:
        """What is going on, in one line: the stages that are not done."""
        running = [track.line() for track in self.tracks.values() if not track.complete]
        state = f"{self.state}: " if self.state else ""
        return state + ("; ".join(running) if running else "waiting")

    def _track(self, stage: Stage, *, in_bytes: bool) -> Track:
        return self.tracks.setdefault(stage, Track(stage, in_bytes))


def duration(seconds: float) -> str:
    """A time as people say it: ``8 s``, ``1:05``, ``1:00:05``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
