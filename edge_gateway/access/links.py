"""Links to results, for people without a key: signed, and good until a time."""

import time
from dataclasses import dataclass

from edge_gateway.access.caller import Caller
from edge_gateway.access.doorman import Doorman
from edge_gateway.jobs.job import JobState
from edge_gateway.jobs.service import JobService
from shared.errors import ConflictError, InvalidInputError, LimitExceededError


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where anybody may fetch a result."""

    url: str
    expires_us: int
    """Microseconds since 1970."""


class Links:
    """Makes links.

    Args:
        doorman: Signs them.
        jobs: The tenant's jobs.
        base: Gives what stands before the path: how browsers reach this edge.
        most_s: For how long one may be good.
    """

    def __init__(self, doorman: Doorman, jobs: JobService, base: "BaseUrl", *, most_s: float) -> None:
        self._doorman = doorman
        self._jobs = jobs
        self._base = base
        self._most_s = most_s

    async def create(self, caller: Caller, job_id: str, valid_s: float) -> Link:
        """A link to a job's result; it ends with its time, and with the job.

        Raises:
            NotFoundError: There is no such job.
            ConflictError: It has not succeeded.
            InvalidInputError: The time is none.
            LimitExceededError: The time is too long.
        """
        if not valid_s > 0:
            raise InvalidInputError("say for how many seconds the link is to be good", field="valid_s")
        if valid_s > self._most_s:
            message = f"a link is good for {self._most_s:g} s at most"
            raise LimitExceededError(message, field="valid_s", limit="link_most_s")
        job = await self._jobs.get(job_id)
        if job.state is not JobState.SUCCEEDED:
            raise ConflictError(f"there is no result: the job is {job.state.value}", field="job_id")
        until = round(time.time() + valid_s)
        token = self._doorman.link(caller, job_id, until)
        return Link(url=f"{self._base.url}/shared/{token}", expires_us=until * 1_000_000)


@dataclass(slots=True)
class BaseUrl:
    """How browsers reach this edge; known once it listens."""

    url: str = ""
