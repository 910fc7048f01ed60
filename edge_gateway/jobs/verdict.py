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
    """Hears of one segment after the other, then judges.

    Args:
        voices: How many faces speak; the result is as good as the worst of them.
    """

    def __init__(self, voices: int = 1) -> None:
        self._times: list[int] = []
        self._seen: list[list[float]] = [[] for _ in range(voices)]
        self._asked: list[list[float]] = [[] for _ in range(voices)]
        self._stretches: list[Stretch] = []
        self._untouched = 0

    def hear(self, segment: OutputSegment, voices: Sequence[tuple[Sequence[Fate], Lips]]) -> None:
        """Take the next segment.

        Args:
            segment: It.
            voices: For each face what the edge knows of its frames (those that were not painted by its own choice, and
                why) and what the node told of it.
        """
        self._times.extend(frame.time_us for frame in segment.frames)
        reasons = []
        for (fates, lips), seen, asked in zip(voices, self._seen, self._asked, strict=True):
            unknown = (_UNKNOWN,) * len(fates)
            seen.extend(lips.seen or unknown)
            asked.extend(lips.asked or unknown)
            painted = lips.fates or (Fate.PAINTED,) * len(fates)
            pairs = zip(fates, painted, strict=True)
            reasons.append([_REASONS.get(theirs if ours is Fate.PAINTED else ours) for ours, theirs in pairs])
        for frame, why in zip(segment.frames, zip(*reasons, strict=True), strict=True):
            if why[0] is not None and None not in why:
                self._untouched += 1
                self._add(Stretch(start_us=frame.time_us, end_us=frame.end_us, reason=why[0]))

    def judge(self) -> Verdict:
        """The verdict on all of them."""
        times_s = np.array(self._times, dtype=np.float64) / 1e6
        heard = [
            sync_score(WholeLips(times_s=times_s, seen=np.array(seen, np.float64), asked=np.array(asked, np.float64)))
            for seen, asked in zip(self._seen, self._asked, strict=True)
        ]
        scored = [one for one in heard if isinstance(one, SyncScore)]
        unscored = [one for one in heard if isinstance(one, Unscored)]
        told = longest(self._stretches, MOST_STRETCHES)
        return Verdict(
            sync=min(scored, key=lambda one: (one.score, one.correlation)) if scored else None,
            unscored=None if scored else unscored[0],
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
