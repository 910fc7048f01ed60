"""How the edge stands at the moment: its node, the link to it, its load, and where each running job's time goes.

Where it goes is looked at several times a second, and told is what was seen most often since it was told last: what a
job waits for changes with every segment.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from edge_gateway.jobs.job import UNFINISHED, JobState, Stage
from edge_gateway.jobs.work import Desk, Work

_LOOK_S: Final = 0.25
_TELL_S: Final = 2.0


class Where(Enum):
    """What a job waits for."""

    CONNECTION = "connection"
    """The client's upload."""
    EDGE = "edge"
    LINK = "link"
    """Between edge and node."""
    GPU = "gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFigures:
    """Where one job's time goes."""

    where: Where
    stages: Mapping[Stage, float]
    """Seconds that each stage has been at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How the edge stands."""

    time_us: int
    node_up: bool
    round_trip_s: float | None
    """To the node and back; None while it does not answer."""
    up_bits_s: float | None
    """Bits a second that the way to the node carries; None where no job has had that measured."""
    running: int
    queued: int
    jobs: Mapping[str, JobFigures] = field(default_factory=dict)
    """Of the jobs that run or wait for an upload, by their ids."""


class NodeLink(Protocol):
    """The way to the node."""

    @property
    def is_up(self) -> bool:
        """Whether it answered the last question."""
        ...

    @property
    def round_trip_s(self) -> float | None:
        """Seconds there and back; None while it does not answer."""
        ...

    @property
    def up_bits_s(self) -> float | None:
        """Bits a second that it carries, where that is known."""
        ...


class Gauge:
    """Looks how the edge stands.

    Args:
        desk: The jobs that are being done.
        node: The way to the node.
        counts: How many jobs stand where.
        on_news: Called whenever there are new figures.
        awaiting: Jobs that cannot begin before an upload has ended.
    """

    def __init__(
        self,
        desk: Desk,
        node: NodeLink,
        counts: Callable[[], Awaitable[Mapping[JobState, int]]],
        on_news: Callable[[], None],
        awaiting: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._desk = desk
        self._node = node
        self._counts = counts
        self._on_news = on_news
        self._awaiting = awaiting
        self._seen: dict[str, Counter[Where]] = {}
        self.last: Figures | None = None
        """How it stood when it was looked at last."""

    async def run(self) -> None:
        """Look and tell until cancelled."""
        while True:
            for _ in range(round(_TELL_S / _LOOK_S)):
                self.look()
                await asyncio.sleep(_LOOK_S)
            await self.tell()

    def look(self) -> None:
        """Note what each job waits for."""
        for job_id, work in self._desk.works.items():
            self._seen.setdefault(job_id, Counter())[where_of(work, node_up=self._node.is_up)] += 1

    async def tell(self) -> None:
        """Make new figures of what was seen."""
        self.last = await self.now()
        self._seen.clear()
        self._on_news()

    async def now(self) -> Figures:
        """How the edge stands now."""
        counts = await self._counts()
        waits = JobFigures(where=Where.CONNECTION, stages={})
        queued = counts.get(JobState.QUEUED, 0)
        return Figures(
            time_us=time.time_ns() // 1000,
            node_up=self._node.is_up,
            round_trip_s=self._node.round_trip_s,
            up_bits_s=self._node.up_bits_s,
            running=sum(counts.get(state, 0) for state in UNFINISHED) - queued,
            queued=queued,
            jobs=dict.fromkeys(self._awaiting(), waits)
            | {
                job_id: JobFigures(where=self._where(job_id, work), stages=work.usage.stages)
                for job_id, work in self._desk.works.items()
            },
        )

    def _where(self, job_id: str, work: Work) -> Where:
        seen = self._seen.get(job_id)
        return seen.most_common(1)[0][0] if seen else where_of(work, node_up=self._node.is_up)


def where_of(work: Work, *, node_up: bool) -> Where:
    """What a job waits for at this moment."""
    usage = work.usage
    if any(source.growth is not None and source.growth.is_wanted for source in work.sources):
        return Where.CONNECTION
    if not node_up or usage.is_at(Stage.SEND) or usage.arriving:
        return Where.LINK
    return Where.GPU if usage.owed else Where.EDGE
