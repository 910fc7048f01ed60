"""How fast jobs have been done lately: what a person may expect of the next one."""

from typing import Final

from edge_gateway.jobs.job import JobState, Stage, Which
from edge_gateway.jobs.repository import JobRepository

_JOBS: Final = 8
_SUCCEEDED: Final = Which(states=frozenset({JobState.SUCCEEDED}))


class Pace:
    """Reckons it from the last jobs that succeeded.

    Args:
        repository: Where jobs are written down.
    """

    def __init__(self, repository: JobRepository) -> None:
        self._repository = repository

    async def frames_s(self) -> float | None:
        """Frames of results for each second that their jobs did not wait; None before any job succeeded."""
        jobs = await self._repository.page(count=_JOBS, before=None, which=_SUCCEEDED)
        reports = [job.report for job in jobs if job.report is not None]
        seconds = sum(max(0.0, report.total_s - report.stages.get(Stage.WAIT, 0.0)) for report in reports)
        return round(sum(report.frames for report in reports) / seconds, 3) if seconds > 0 else None
