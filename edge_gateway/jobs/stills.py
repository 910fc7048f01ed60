"""What is to be seen of a job: its newest frame while it runs, a picture of its result after that."""

import asyncio
from dataclasses import dataclass
from weakref import WeakValueDictionary

from edge_gateway.assets.pictures import Pictures
from edge_gateway.jobs.job import JobState
from edge_gateway.jobs.reel import Reel, Reels
from edge_gateway.jobs.service import JobService
from shared.errors import InvalidInputError, NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """A picture of a job."""

    tag: str
    """Another one for another picture."""
    data: bytes
    """JPEG."""


class Stills:
    """Finds the pictures of jobs.

    Args:
        jobs: The jobs.
        reels: What is composited of those that run.
        pictures: Makes pictures.
    """

    def __init__(self, jobs: JobService, reels: Reels, pictures: Pictures) -> None:
        self._jobs = jobs
        self._reels = reels
        self._pictures = pictures
        self._newest: dict[str, tuple[int, Still]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def of(self, job_id: str) -> Still:
        """What is to be seen of a job now.

        Raises:
            NotFoundError: there is no such job, or nothing to be seen of it (yet).
        """
        job = await self._jobs.get(job_id)
        reel = self._reels.find(job_id)
        if reel is not None and reel.newest is not None:
            still = await self._live(job_id, reel)
            if still is not None:
                return still
            job = await self._jobs.get(job_id)
        if job.state is JobState.SUCCEEDED:
            return Still(tag=job.result_asset_id, data=await self._pictures.of(job.result_asset_id))
        raise NotFoundError("there is nothing to be seen of this job yet", field="job_id")

    async def _live(self, job_id: str, reel: Reel) -> Still | None:
        """The newest frame; None where the job has ended meanwhile, and its files with it."""
        async with self._locks.setdefault(job_id, asyncio.Lock()):
            index = reel.newest
            known = self._newest.get(job_id)
            if index is None or (known is not None and known[0] == index):
                return None if known is None else known[1]
            try:
                data = await self._pictures.still(reel.path(index))
            except (FileNotFoundError, InvalidInputError):
                if not reel.is_closed:
                    raise
                return None
            still = Still(tag=f"{job_id}-{index}", data=data)
            self._newest = {one: held for one, held in self._newest.items() if self._reels.find(one) is not None}
            self._newest[job_id] = index, still
            return still
