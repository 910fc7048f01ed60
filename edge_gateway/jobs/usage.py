"""What a job takes: seconds of each stage at work, bytes over the link; goes on counting when a job is taken up."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from edge_gateway.jobs.job import Stage
from edge_gateway.jobs.node import Meter
from shared.telemetry import tracing

_TRACED_BY_NODE = frozenset({Stage.QUEUE, Stage.INFER})


class Usage:
    """The figures of one job.

    Args:
        clock: Seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.meter = Meter()
        self._clock = clock
        self._busy: dict[Stage, float] = dict.fromkeys(Stage, 0.0)
        self._covered: dict[Stage, float] = {}
        self._open: Counter[Stage] = Counter()
        self.owed: set[tuple[str, int]] = set()
        """Segments that the node was ordered and has not given back, by voice."""
        self.arriving: set[str] = set()
        """Voices of which part of a segment has come back."""

    @contextmanager
    def at_work(self, stage: Stage) -> Iterator[None]:
        """A stage is at work inside the block."""
        begun = self._clock()
        self._open[stage] += 1
        try:
            yield
        finally:
            self._open[stage] -= 1
            self.add(stage, begun, self._clock())

    def is_at(self, stage: Stage) -> bool:
        """Whether a stage is at work now."""
        return self._open[stage] > 0

    def ended(self, stage: Stage, seconds: float, ago: float = 0.0) -> None:
        """A stage was at work for so long and ended ``ago`` seconds before now."""
        end = self._clock() - ago
        self.add(stage, end - seconds, end)

    def add(self, stage: Stage, begun: float, ended: float) -> None:
        """A stage was at work from one time to another; times that overlap count once."""
        if stage not in _TRACED_BY_NODE:
            tracing.record(stage.value, ended - begun, ago_s=self._clock() - ended)
        covered = self._covered.get(stage, begun)
        self._busy[stage] += max(0.0, ended - max(begun, covered))
        self._covered[stage] = max(covered, ended)

    def prepared(self, begun: float, ended: float, waits: Iterable[tuple[float, float]]) -> None:
        """A face was made from one time to another, but for times in which bytes of the video were waited for."""
        at = begun
        for since, until in waits:
            if until > at and since < ended:
                self.add(Stage.PREPARE, at, max(at, since))
                at = min(until, ended)
                self.add(Stage.WAIT, max(begun, since), at)
        self.add(Stage.PREPARE, at, ended)

    @property
    def stages(self) -> Mapping[Stage, float]:
        """Seconds at work."""
        return {stage: round(seconds, 3) for stage, seconds in self._busy.items()}

    def to_json(self) -> dict[str, Any]:
        """The figures, for the disk."""
        return {
            "stages": {stage.value: seconds for stage, seconds in self._busy.items()},
            "up_bytes": self.meter.up_bytes,
            "down_bytes": self.meter.down_bytes,
        }

    def take_up(self, told: Mapping[str, Any]) -> None:
        """Go on from figures that were on disk."""
        for name, seconds in told["stages"].items():
            self._busy[Stage(name)] += seconds
        self.meter.up_bytes += told["up_bytes"]
        self.meter.down_bytes += told["down_bytes"]
