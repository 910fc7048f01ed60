"""The results of many jobs as one file."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from edge_gateway.assets.asset import file_name
from edge_gateway.assets.service import AssetService
from edge_gateway.jobs.job import Job, JobState
from edge_gateway.jobs.service import JobService
from edge_gateway.zipping import ZipEntry, zip_size, zipped
from shared.errors import ConflictError, InvalidInputError, LimitExceededError, NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Results, about to be sent."""

    size_bytes: int
    content: AsyncGenerator[bytes, None]
    """Fails where a result is deleted meanwhile."""


class Archives:
    """Puts results together.

    Args:
        jobs: The jobs.
        assets: Where their results are.
        limit: Results that one file may have.
    """

    def __init__(self, jobs: JobService, assets: AssetService, *, limit: int) -> None:
        self._jobs = jobs
        self._assets = assets
        self._limit = limit

    async def open(self, job_ids: Sequence[str]) -> Archive:
        """The results of jobs as one ZIP; nothing is copied, whatever their size.

        Raises:
            InvalidInputError: no job is named, or what names one is none.
            LimitExceededError: too many are named.
            NotFoundError: there is no such job, or its result is gone.
            ConflictError: one has not succeeded.
        """
        wanted = list(dict.fromkeys(job_ids))
        if not wanted:
            raise InvalidInputError("name the jobs whose results are wanted", field="job")
        if len(wanted) > self._limit:
            message = f"one file has at most {self._limit} results, not {len(wanted)}; fetch them in parts"
            raise LimitExceededError(message, field="job", limit="zip_jobs")
        taken: set[str] = set()
        entries = [await self._entry(await self._jobs.get(job_id), taken) for job_id in wanted]
        return Archive(size_bytes=zip_size(entries), content=zipped(entries))

    async def _entry(self, job: Job, taken: set[str]) -> ZipEntry:
        if job.state is not JobState.SUCCEEDED:
            raise ConflictError(f"job {job.job_id} is {job.state.value} and has no result", field="job")
        try:
            asset = await self._assets.get(job.result_asset_id)
        except NotFoundError:
            raise NotFoundError(f"the result of job {job.job_id} was deleted", field="job") from None
        return ZipEntry(
            name=_unique(file_name(asset.display_name, f"{job.job_id}.mp4"), taken),
            size_bytes=asset.size_bytes,
            time_us=job.updated_us,
            read=partial(self._read, asset.asset_id),
        )

    async def _read(self, asset_id: str) -> AsyncGenerator[bytes, None]:
        _, pieces = await self._assets.download(asset_id, 0, 0)
        async with aclosing(pieces):
            async for _, data in pieces:
                yield data


def _unique(name: str, taken: set[str]) -> str:
    """A name that no other has, also where large and small letters are the same."""
    stem, dot, suffix = name.rpartition(".")
    one, number = name, 1
    while one.casefold() in taken:
        number += 1
        one = f"{stem} ({number}){dot}{suffix}" if dot else f"{name} ({number})"
    taken.add(one.casefold())
    return one
