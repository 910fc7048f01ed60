"""What the data of server-sent events is, by their names; see :mod:`edge_gateway.web.events`."""

from collections.abc import Mapping
from typing import Final, Literal, Self

from edge_gateway.jobs import job as jobs
from edge_gateway.jobs.figures import Figures
from edge_gateway.jobs.news import JobDeleted, NewsItem, Skipped
from edge_gateway.web.told import Told, rfc3339


class HelloEvent(Told):
    """The first of every stream."""

    number: int
    """Where the stream goes on; what happens next has greater numbers."""
    resumed: bool
    """Whether that is the number that was asked for; otherwise the stream begins now."""


class JobEvent(Told):
    """Something that happened to a job."""

    job_id: str
    time: str
    sequence: int
    """Of the job; from 1 without gaps."""


class StateEvent(JobEvent):
    """A job moved to another state."""

    state: Literal["queued", "preparing", "rendering", "finishing", "succeeded", "failed", "cancelled"]


class ProgressEvent(JobEvent):
    """A stage of a job has come further."""

    stage: Literal["wait", "prepare", "send", "queue", "infer", "return", "composite"]
    done_frames: int
    total_frames: int
    """0 where nobody knows."""
    done_bytes: int


class NoticeEvent(JobEvent):
    """Words for a person."""

    severity: Literal["info", "warning"]
    reason: str
    message: str


class DeletedEvent(Told):
    """A job is gone."""

    job_id: str
    time: str


class SkippedEvent(Told):
    """The client was too slow to be told all progress of a job; what changed it was told all the same."""

    job_id: str
    progress_events: int


class JobWhere(Told):
    """Where one job's time goes."""

    where: Literal["connection", "edge", "link", "gpu"]
    """What it waits for: the client's upload, the edge, the link to the node, or the node."""
    stages: dict[str, float]
    """Seconds that each stage has been at work."""


class EdgeEvent(Told):
    """How the edge stands; every 2 s, without a number."""

    time: str
    node_up: bool
    round_trip_s: float | None
    """To the node; None while it does not answer."""
    up_bits_s: float | None
    """Bits a second to the node; None where no job has had that measured."""
    running: int
    queued: int
    jobs: dict[str, JobWhere]
    """Of the jobs that run or wait for an upload."""

    @classmethod
    def of(cls, figures: Figures, only: frozenset[str] | None) -> Self:
        """Tell of figures, and of all jobs or some."""
        return cls(
            time=rfc3339(figures.time_us),
            node_up=figures.node_up,
            round_trip_s=figures.round_trip_s,
            up_bits_s=figures.up_bits_s,
            running=figures.running,
            queued=figures.queued,
            jobs={
                job_id: JobWhere(
                    where=job.where.value, stages={stage.value: seconds for stage, seconds in job.stages.items()}
                )
                for job_id, job in figures.jobs.items()
                if only is None or job_id in only
            },
        )


EVENTS: Final[Mapping[str, type[Told]]] = {
    "hello": HelloEvent,
    "state": StateEvent,
    "progress": ProgressEvent,
    "notice": NoticeEvent,
    "deleted": DeletedEvent,
    "skipped": SkippedEvent,
    "edge": EdgeEvent,
}
"""The data of each event, by its name."""


def of_item(item: NewsItem | Skipped) -> tuple[str, Told]:
    """The name and the data of what happened to a job."""
    match item:
        case Skipped():
            return "skipped", SkippedEvent(job_id=item.job_id, progress_events=item.progress_events)
        case JobDeleted():
            return "deleted", DeletedEvent(job_id=item.job_id, time=rfc3339(item.time_us))
    job_id, time, sequence = item.job_id, rfc3339(item.time_us), item.sequence
    match item.body:
        case jobs.StateChanged(state=state):
            return "state", StateEvent(job_id=job_id, time=time, sequence=sequence, state=state.value)
        case jobs.Progress() as progress:
            return "progress", ProgressEvent(
                job_id=job_id,
                time=time,
                sequence=sequence,
                stage=progress.stage.value,
                done_frames=progress.done_frames,
                total_frames=progress.total_frames,
                done_bytes=progress.done_bytes,
            )
        case jobs.Notice() as notice:
            return "notice", NoticeEvent(
                job_id=job_id,
                time=time,
                sequence=sequence,
                severity=notice.severity.value,
                reason=notice.reason,
                message=notice.message,
            )
