"""Jobs that may take only so long: they fail when their time is over, whoever watches, also after a restart."""

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable
from typing import Final

from edge_gateway.jobs.job import UNFINISHED, Job, JobError
from edge_gateway.jobs.repository import JobRepository

_LOOK_S: Final = 60.0
"""The clock may be set: nothing is waited for longer than this without a look at it."""


class Deadlines:
    """Keeps the time of jobs.

    Args:
        repository: Where jobs are written down.
        fail: Stops a job, wherever it is at work, and lets it fail.
        clock_us: Microseconds since 1970.
    """

    def __init__(
        self,
        repository: JobRepository,
        fail: Callable[[str, JobError], Awaitable[None]],
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._repository = repository
        self._fail = fail
        self._clock_us = clock_us
        self._due: list[tuple[int, str]] = []
        self._news = asyncio.Event()

    def add(self, job: Job) -> None:
        """Keep the time of a job, if it has one."""
        if job.deadline_us is not None:
            heapq.heappush(self._due, (job.deadline_us, job.job_id))
            self._news.set()

    async def run(self) -> None:
        """Keep time until cancelled."""
        for job in await self._repository.in_states(UNFINISHED):
            self.add(job)
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._news.clear()
                while self._due and self._due[0][0] <= self._clock_us():
                    tasks.create_task(self._end(heapq.heappop(self._due)[1]))
                pause = min(_LOOK_S, (self._due[0][0] - self._clock_us()) / 1e6) if self._due else None
                try:
                    async with asyncio.timeout(pause):
                        await self._news.wait()
                except TimeoutError:
                    continue

    async def _end(self, job_id: str) -> None:
        job = await self._repository.find(job_id)
        if job is None or job.state.is_final:
            return
        message = f"the job was {job.state.value} and not done within its {job.options.timeout_s:g} s"
        await self._fail(job_id, JobError(reason="deadline_exceeded", field="timeout", message=message))
