"""What is told of a result once it is rendered: how well the lips follow the speech, and what passed through untouched.

It depends on the frames of the result alone, not on how they were cut into segments or how often a node was asked.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_gateway.jobs.job import Stretch, SyncScore, Unscored, UntouchedReason
from edge_gateway.jobs.node import Fate, Lips
from edge_gateway.sync import Lips as WholeLips
from edge_gateway.sync import sync_score
from shared.media.timeline import OutputSegment

MOST_STRETCHES: Final = 100
"""Stretches that are told; a face that flickers for hours must not make a report of megabytes."""

_UNKNOWN: Final = -1.0
_REASONS: Final = {
    Fate.NO_FACE: UntouchedReason.NO_FACE,
    Fate.HIDDEN: UntouchedReason.HIDDEN,
    Fate.TURNED_AWAY: UntouchedReason.TURNED_AWAY,
    Fate.TOO_SMALL: UntouchedReason.TOO_SMALL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is told of a result."""

    sync: SyncScore | None
    unscored: Unscored | None
    untouched: tuple[Stretch, ...]
    """The longest, in order."""
    left_out: int
    untouched_frames: int
    frames: int

    def tag(self, engine: str, version: str) -> str:
        """The same as JSON, for the result's metadata."""
        sync = self.sync
        told = {
            "generator": f"viseme {version}",
            "engine": engine,
            "sync": None
            if sync is None
            else {
                "score": sync.score,
                "lag_ms": sync.lag_ms,
                "correlation": sync.correlation,
                "amplitude": sync.amplitude,
            },
            "unscored": None if self.unscored is None else self.unscored.value,
            "untouched_frames": self.untouched_frames,
            "untouched": [
                [round(stretch.start_us / 1e6, 3), round(stretch.end_us / 1e6, 3), stretch.reason.value]
                for stretch in self.untouched
            ],
        }
        return json.dumps(told, separators=(",", ":"))


class Jury:
    """Hears of one segment after the other, then judges."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._seen: list[float] = []
        self._asked: list[float] = []
        self._stretches: list[Stretch] = []
        self._untouched = 0

    def hear(self, segment: OutputSegment, fates: Sequence[Fate], lips: Lips) -> None:
        """Take the next segment.

        Args:
            segment: It.
            fates: What the edge knows of its frames: those that were not painted by its own choice, and why.
            lips: What the node told of it.
        """
        unknown = (_UNKNOWN,) * len(fates)
        self._times.extend(frame.time_us for frame in segment.frames)
        self._seen.extend(lips.seen or unknown)
        self._asked.extend(lips.asked or unknown)
        painted = lips.fates or (Fate.PAINTED,) * len(fates)
        for frame, ours, theirs in zip(segment.frames, fates, painted, strict=True):
            reason = _REASONS.get(theirs if ours is Fate.PAINTED else ours)
            if reason is not None:
                self._untouched += 1
                self._add(Stretch(start_us=frame.time_us, end_us=frame.end_us, reason=reason))

    def judge(self) -> Verdict:
        """The verdict on all of them."""
        whole = WholeLips(
            times_s=np.array(self._times, dtype=np.float64) / 1e6,
            seen=np.array(self._seen, dtype=np.float64),
            asked=np.array(self._asked, dtype=np.float64),
        )
        sync = sync_score(whole)
        told = longest(self._stretches, MOST_STRETCHES)
        return Verdict(
            sync=sync if isinstance(sync, SyncScore) else None,
            unscored=sync if isinstance(sync, Unscored) else None,
            untouched=told,
            left_out=len(self._stretches) - len(told),
            untouched_frames=self._untouched,
            frames=len(self._times),
        )

    def _add(self, stretch: Stretch) -> None:
        last = self._stretches[-1] if self._stretches else None
        if last is not None and (last.end_us, last.reason) == (stretch.start_us, stretch.reason):
            self._stretches[-1] = Stretch(start_us=last.start_us, end_us=stretch.end_us, reason=last.reason)
        else:
            self._stretches.append(stretch)


def longest(stretches: Iterable[Stretch], most: int) -> tuple[Stretch, ...]:
    """The longest stretches, in order of time."""
    by_length = sorted(stretches, key=lambda one: (one.start_us - one.end_us, one.start_us))
    return tuple(sorted(by_length[:most], key=lambda one: one.start_us))
