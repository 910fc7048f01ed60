"""What a job would take and why, from measured ways and what jobs have taken before; and what sending it all would.

Stages overlap, so a job takes as long as its slowest stage, and one segment of each of the others. Whoever sends the
whole file to the GPU waits for the upload first, then for the work, which may overlap there as well, then for the
download.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.sdk.model import JobReport, Stage
from shared.sdk.probe import EdgeWay

SEGMENT_S: Final = 2.0
_EDGE_TRIPS: Final = 6
"""Round trips between client and edge that follow each other: two connections, upload, submission, end, download."""
_NODE_TRIPS: Final = 3
"""Between edge and node: the spec, what is needed, the last segment."""
_UNKNOWN_BITS: Final = 3e6
"""Of a file whose length cannot be told: so many bits a second are assumed."""
_LATEST: Final = 20
"""Jobs of which the middle is taken."""


class Culprit(StrEnum):
    """What may be slow."""

    UPLINK = "your uplink"
    DOWNLINK = "your downlink"
    DISTANCE = "distance"
    EDGE = "the edge"
    LINK = "the link to the GPU"
    GPU = "the GPU"


_WORK: Final = (Stage.PREPARE, Stage.INFER, Stage.COMPOSITE)
_ALONE: Final = frozenset({Stage.QUEUE, Stage.DOWNLOAD})
"""Before all the others, and after them."""

BLAMES: Final[Mapping[Stage, Culprit]] = {
    Stage.UPLOAD: Culprit.UPLINK,
    Stage.PREPARE: Culprit.EDGE,
    Stage.SEND: Culprit.LINK,
    Stage.QUEUE: Culprit.GPU,
    Stage.INFER: Culprit.GPU,
    Stage.RETURN: Culprit.LINK,
    Stage.COMPOSITE: Culprit.EDGE,
    Stage.DOWNLOAD: Culprit.DOWNLINK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a second of result takes."""

    jobs: int
    """From how many jobs that is known; 0 where it is assumed."""
    prepare_s: float
    infer_s: float
    composite_s: float
    up_bytes: float
    down_bytes: float


ASSUMED: Final = Pace(
    jobs=0, prepare_s=0.48, infer_s=0.96, composite_s=0.83, up_bytes=1.14e6 / 60, down_bytes=0.94e6 / 60
)
"""Of BENCHMARKS.md: 1080x1920, new face, two cores and no GPU at each end."""


def pace_of(reports: Iterable[JobReport]) -> Pace:
    """The middle of what the latest jobs took; what is assumed where there were none."""
    known = [report for report in reports if report.frames and report.frame_rate][:_LATEST]
    if not known:
        return ASSUMED

    def middle(stage: Stage) -> float:
        return statistics.median(report.stages.get(stage, 0.0) / _length(report) for report in known)

    return Pace(
        jobs=len(known),
        prepare_s=middle(Stage.PREPARE),
        infer_s=middle(Stage.INFER),
        composite_s=middle(Stage.COMPOSITE),
        up_bytes=statistics.median(report.wan_up_bytes / _length(report) for report in known),
        down_bytes=statistics.median(report.wan_down_bytes / _length(report) for report in known),
    )


def _length(report: JobReport) -> float:
    return report.frames / report.frame_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWay:
    """The way from an edge to a node."""

    name: str
    address: str
    is_up: bool
    engine_ready: bool
    round_trip_s: float | None
    bits_s: float | None
    queued_segments: int
    queue_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job that is thought of."""

    upload_bytes: int
    """Of all files; nothing of them is at the edge already."""
    video_bytes: int
    video_s: float
    """0 for a photo."""
    length_s: float
    """Of the result."""
    is_guessed: bool
    """Whether a length could not be told from a file's head."""

    @property
    def result_bytes(self) -> float:
        """About as many a second as the video."""
        rate = self.video_bytes / self.video_s if self.video_s else _UNKNOWN_BITS / 8
        return rate * self.length_s


def wanted(sizes: Sequence[int], lengths: Sequence[float | None]) -> Wanted:
    """The job of a video or photo and, after it, the speeches; without a speech the video lasts as long as it does."""
    guesses = [8 * size / _UNKNOWN_BITS if told is None else told for size, told in zip(sizes, lengths, strict=True)]
    return Wanted(
        upload_bytes=sum(sizes),
        video_bytes=sizes[0],
        video_s=guesses[0],
        length_s=max(guesses[1:], default=guesses[0]) or SEGMENT_S,
        is_guessed=any(told is None for told in lengths),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a job would take."""

    stages: Mapping[Stage, float]
    distance_s: float
    """Round trips that nothing can be done in meanwhile."""
    total_s: float
    whole_s: float
    """Sending the whole files to the GPU and fetching the result, by the same links and as fast a program."""
    slowest: Culprit
    slowest_s: float


def forecast(job: Wanted, way: EdgeWay, node: NodeWay, pace: Pace) -> Forecast | None:
    """What the job would take; None while the node, or how much its link carries, is not known."""
    if node.round_trip_s is None or not node.bits_s:
        return None
    length = job.length_s
    seen = min(job.video_s or SEGMENT_S, length)
    stages = {
        Stage.UPLOAD: 8 * job.upload_bytes / way.up_bits_s,
        Stage.PREPARE: pace.prepare_s * seen,
        Stage.SEND: 8 * pace.up_bytes * length / node.bits_s,
        Stage.QUEUE: pace.infer_s * SEGMENT_S * node.queued_segments,
        Stage.INFER: pace.infer_s * length,
        Stage.RETURN: 8 * pace.down_bytes * length / node.bits_s,
        Stage.COMPOSITE: pace.composite_s * length,
        Stage.DOWNLOAD: 8 * job.result_bytes / way.down_bits_s,
    }
    distance_s = _EDGE_TRIPS * way.round_trip_s + _NODE_TRIPS * node.round_trip_s
    together = _overlapped([stages[stage] for stage in stages if stage not in _ALONE], length)
    blamed = dict.fromkeys(Culprit, 0.0) | {Culprit.DISTANCE: distance_s}
    for stage, seconds in stages.items():
        blamed[BLAMES[stage]] = max(blamed[BLAMES[stage]], seconds)
    culprit = max(blamed, key=lambda one: blamed[one])
    up_s = 8 * job.upload_bytes / min(way.up_bits_s, node.bits_s)
    down_s = 8 * job.result_bytes / min(way.down_bits_s, node.bits_s)
    work_s = stages[Stage.QUEUE] + _overlapped([stages[stage] for stage in _WORK], length)
    return Forecast(
        stages=stages,
        distance_s=distance_s,
        total_s=together + stages[Stage.QUEUE] + stages[Stage.DOWNLOAD] + distance_s,
        whole_s=up_s + work_s + down_s + _EDGE_TRIPS * (way.round_trip_s + node.round_trip_s),
        slowest=culprit,
        slowest_s=blamed[culprit],
    )


def _overlapped(stages: Sequence[float], length_s: float) -> float:
    """What stages take side by side: the slowest, and of each of the others what its first segment takes."""
    slowest = max(stages)
    return slowest + min(1.0, SEGMENT_S / length_s) * (sum(stages) - slowest)
