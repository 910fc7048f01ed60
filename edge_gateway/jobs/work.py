"""What is known of one job while it is done, and how all of them are."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edge_gateway.assets.growth import Source
from edge_gateway.jobs.events import ProgressBoard
from edge_gateway.jobs.files import JobFiles
from edge_gateway.jobs.job import Job
from edge_gateway.jobs.reel import Reel
from edge_gateway.jobs.render import RenderSettings
from edge_gateway.jobs.soundtrack import Soundtrack
from edge_gateway.jobs.usage import Usage
from edge_gateway.label.policy import Label
from shared.media.profile import LinkProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """How jobs are done."""

    segment_s: float
    profiles: tuple[LinkProfile, ...]
    """What every job is done with; None where each chooses for itself."""
    frame_pixels: int
    stall_s: float
    """Seconds without a byte of an upload after which a job that can only wait for it goes back to the queue."""
    render: RenderSettings


@dataclass(slots=True, kw_only=True)
class Work:
    """What is known of a job while it is done."""

    job: Job
    video: Source
    speeches: tuple[Source, ...]
    """Of all who speak."""
    background: Source | None
    sound: Soundtrack
    files: JobFiles
    board: ProgressBoard
    reel: Reel
    label: Label | None = None
    """What is drawn into its first frames."""
    is_new: bool = True
    """Whether it was not begun before."""
    usage: Usage = field(default_factory=Usage)
    begun: float = field(default_factory=time.monotonic)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Everything that it reads."""
        under = () if self.background is None else (self.background,)
        return self.video, *self.speeches, *under


class Desk:
    """The jobs that are being done now."""

    def __init__(self) -> None:
        self.works: dict[str, Work] = {}
        """By the job's id."""

    @contextmanager
    def at(self, work: Work) -> Iterator[None]:
        """A job is being done inside the block."""
        self.works[work.job.job_id] = work
        try:
            yield
        finally:
            del self.works[work.job.job_id]
