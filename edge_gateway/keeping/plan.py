"""What would go: pure, so that it can be looked at before anything does."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What an edge keeps for a time."""

    JOB = "job"
    """A job that is over, with its events and its result."""
    RESULT = "result"
    """A finished video; its job stays."""
    ASSET = "asset"
    """A file that was brought."""
    FACE = "face"
    """The track and the crops of a face that was looked for in a video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One thing that the edge keeps."""

    kind: Kind
    name: str
    """Its id."""
    size_bytes: int
    used_us: int
    """When it was last used, or the job ended, by the clock of the edge's running time, in microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepTimes:
    """Seconds for which things stay after their last use; 0 is for ever."""

    job_s: float = 0.0
    result_s: float = 0.0
    asset_s: float = 0.0
    face_s: float = 0.0

    def of(self, kind: Kind) -> float:
        """Seconds for which things of a kind stay."""
        times = {Kind.JOB: self.job_s, Kind.RESULT: self.result_s, Kind.ASSET: self.asset_s, Kind.FACE: self.face_s}
        return times[kind]


def due(holdings: Iterable[Holding], keep: KeepTimes, now_us: int) -> list[Holding]:
    """What has been kept for long enough: jobs first, as their results go with them, then the oldest first."""
    order = list(Kind)
    over = [one for one in holdings if keep.of(one.kind) and now_us - one.used_us >= keep.of(one.kind) * 1e6]
    return sorted(over, key=lambda one: (order.index(one.kind), one.used_us))
