"""Files of jobs that are uploads by tus and not assets yet: such a job waits, and begins or fails with them.

What becomes of an upload is written down before the jobs that name it are told, and jobs that were not, as the edge
ended in between, are found when it starts again.
"""

import asyncio
from typing import Protocol

from edge_gateway.assets.stream import SCHEME, Stream, is_upload_name, upload_of
from edge_gateway.jobs.job import Job, JobState
from edge_gateway.jobs.repository import JobRepository
from shared.errors import InvalidInputError, NotFoundError, VisemeError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_SETTLE_S = 60.0


class Waiting(JobRepository, Protocol):
    """Where jobs are written down that wait for uploads."""

    async def replace_upload(self, upload_id: str, asset_id: str) -> None:
        """An upload has become an asset: jobs that name it name that."""
        ...


class Uploads(Protocol):
    """The uploads."""

    async def find(self, upload_id: str) -> Stream:
        """An upload as it is written down; a VisemeError where there is none, or it will never become an asset."""
        ...

    async def status(self, upload_id: str) -> Stream:
        """The same; one that is whole has become an asset by then."""
        ...


class Runner(Protocol):
    """Does the work."""

    def wake(self) -> None:
        """There may be a job that can begin."""
        ...

    async def lose(self, asset_id: str, error: VisemeError) -> None:
        """Fail every unfinished job that needs a file which will never be complete."""
        ...


class UploadedInputs:
    """The uploads that jobs wait for.

    Args:
        repository: Where jobs are written down.
    """

    _uploads: Uploads
    _runner: Runner

    def __init__(self, repository: Waiting) -> None:
        self._repository = repository

    def open(self, uploads: Uploads, runner: Runner) -> None:
        """Say who has the uploads and who does the work; both know this one first."""
        self._uploads = uploads
        self._runner = runner

    async def known(self, name: str, field: str) -> str:
        """See :class:`edge_gateway.jobs.service.Uploaded`."""
        try:
            stream = await self._uploads.find(upload_of(name, field))
        except VisemeError as error:
            raise type(error)(error.message, field=field, limit=error.limit) from None
        if stream.is_part:
            message = "this upload is a part of another; name the one that is put together"
            raise InvalidInputError(message, field=field)
        return stream.asset_id or name

    async def became(self, upload_id: str, asset_id: str) -> None:
        """An upload has become an asset: jobs that wait for it may begin."""
        await self._repository.replace_upload(upload_id, asset_id)
        self._runner.wake()

    async def lost(self, upload_id: str, error: VisemeError) -> None:
        """An upload will never become an asset: jobs that wait for it fail."""
        await self._runner.lose(f"{SCHEME}{upload_id}", error)

    async def settle(self) -> None:
        """Find jobs that wait for uploads of which all is known already."""
        for upload_id in _awaited(await self._repository.in_states([JobState.QUEUED])):
            try:
                stream = await self._uploads.status(upload_id)
            except (InvalidInputError, NotFoundError) as error:
                await self.lost(upload_id, error)
            except VisemeError as error:
                _LOG.error("an upload that a job waits for is not taken yet", upload_id=upload_id, error=error.message)
            else:
                if stream.asset_id:
                    await self.became(upload_id, stream.asset_id)

    async def keep_settled(self) -> None:
        """Look now and then, for ever: at the start, and for what a full disk held up."""
        while True:
            await self.settle()
            await asyncio.sleep(_SETTLE_S)


def _awaited(jobs: list[Job]) -> list[str]:
    names = dict.fromkeys(asset_id for job in jobs for _, asset_id in job.assets)
    return [name.removeprefix(SCHEME) for name in names if is_upload_name(name)]
