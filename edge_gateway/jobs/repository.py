"""What the edge wants of the place where jobs are written down."""

from collections.abc import Callable, Sequence
from typing import Protocol

from edge_gateway.jobs.job import ALL_JOBS, Change, Event, EventBody, Job, JobState, Which


class JobRepository(Protocol):
    """Jobs that survive a power cut."""

    async def add(
        self, asked: Job, key: str, queue_limit: int, check_new: Callable[[], None] = lambda: None
    ) -> tuple[Job, bool]:
        """Write down a new job with its first event; where the key is known, the job that has it.

        ``check_new`` may refuse a job that is new.

        Returns:
            The job, and whether it is new.

        Raises:
            ConflictError: the key belongs to a job that was asked otherwise, or an asset has no id yet.
            NotFoundError: an asset is not there.
            QueueFullError: as many jobs wait already; a known key is answered all the same.
        """
        ...

    async def find(self, job_id: str) -> Job | None:
        """The job of this id, if there is one."""
        ...

    async def page(self, *, count: int, before: int | None, which: Which = ALL_JOBS) -> list[Job]:
        """Jobs from the newest, those with numbers below ``before``."""
        ...

    async def in_states(self, states: Sequence[JobState]) -> list[Job]:
        """Jobs that stand there, from the oldest."""
        ...

    async def remove(self, job_id: str) -> Job | None:
        """Strike out a finished job with its events; None when there was none.

        Raises:
            ConflictError: it is not finished.
        """
        ...


class EventLog(Protocol):
    """Events that survive a power cut, numbered without gaps within each job."""

    async def record(
        self, job_id: str, bodies: Sequence[EventBody], change: Change | None = None
    ) -> tuple[Job, list[Event]]:
        """Append events, and change the job's state, in one transaction.

        Raises:
            NotFoundError: there is no such job.
            ConflictError: the state cannot follow the one that the job has.
        """
        ...

    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        """Events with greater numbers than ``after``, in order, at most ``limit``.

        Raises:
            NotFoundError: there is no such job.
        """
        ...

    async def last(self, job_id: str) -> Event:
        """The newest event.

        Raises:
            NotFoundError: there is no such job.
        """
        ...
