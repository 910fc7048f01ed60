"""What can be done with jobs: submit, look, list, cancel, delete."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final, Protocol

from edge_gateway.assets.asset import Asset, check_pictures
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.stream import is_upload_name
from edge_gateway.face.speaker import check_voices
from edge_gateway.jobs import notices
from edge_gateway.jobs.cast import cast_of, voice_field
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.job import (
    ALL_JOBS,
    Change,
    Job,
    JobOptions,
    JobState,
    Which,
    check_background,
    check_engine,
    check_job_id,
    check_key,
    check_timeout,
    check_which,
)
from edge_gateway.jobs.repository import JobRepository
from edge_gateway.library.name import is_library_name
from edge_gateway.paging import page_size, read_token, write_token
from shared.errors import (
    ConflictError,
    InvalidInputError,
    InvalidMediaError,
    LimitExceededError,
    NotFoundError,
    VisemeError,
)
from shared.media.limits import MediaLimits
from shared.telemetry import tracing
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)


_PAGE_PLACES: Final = 20_000
"""Places of faces in the jobs of one page: about 1 MB."""


class Runner(Protocol):
    """Does the work."""

    def wake(self) -> None:
        """There is a new job."""
        ...

    async def stop(self, job_id: str) -> None:
        """Stop the work on a job and wait until nothing of it runs; nothing happens when none does."""
        ...

    def clear(self, job_id: str) -> None:
        """Remove the files of a job that is over."""
        ...


class Named(Protocol):
    """Finds assets by other names than their ids."""

    async def __call__(self, name: str, field: str, /) -> Asset:
        """The asset that the name of a library's file stands for.

        Raises:
            InvalidInputError: it is no name.
            NotFoundError: there is no such file.
            ConflictError: it was not added yet, or has changed since.
        """
        ...


class Uploaded(Protocol):
    """Finds uploads by tus."""

    async def __call__(self, name: str, field: str, /) -> str:
        """The id of the asset that an upload has become, or the same name while it has not ended.

        Raises:
            InvalidInputError: it is no name, or the upload can become no asset.
            NotFoundError: there is no such upload.
        """
        ...


class JobService:
    """Jobs as clients see them.

    Args:
        repository: Where jobs are written down.
        journal: Where events go.
        assets: What jobs are made of.
        runner: Does the work.
        limits: What is refused.
        queue_limit: Jobs that may wait.
        engines: The names of the engines that the node last reported; empty while nobody knows.
        named: Finds the asset that the name of a library's file stands for.
        check_webhook: Refuses a URL to which nothing may be told.
        on_accept: Told of every new job.
        uploaded: Finds what an upload by tus has become.
        list_limit: Jobs that one call may name.
        check_new: Refuses new jobs where the disk is nearly full.
        expires: Tells when a job goes, in microseconds since 1970.
    """

    def __init__(
        self,
        repository: JobRepository,
        journal: Journal,
        assets: AssetService,
        runner: Runner,
        *,
        limits: MediaLimits,
        queue_limit: int,
        engines: Callable[[], frozenset[str]],
        named: Named | None = None,
        check_webhook: Callable[[str], None] = lambda _: None,
        on_accept: Callable[[Job], None] = lambda _: None,
        uploaded: Uploaded | None = None,
        list_limit: int = 500,
        check_new: Callable[[], None] = lambda: None,
        expires: Callable[[Job], int | None] = lambda _: None,
    ) -> None:
        self._repository = repository
        self._journal = journal
        self._assets = assets
        self._runner = runner
        self._limits = limits
        self._queue_limit = queue_limit
        self._engines = engines
        self._named = named
        self._check_webhook = check_webhook
        self._on_accept = on_accept
        self._uploaded = uploaded
        self._list_limit = list_limit
        self._check_new = check_new
        self._expires = expires

    async def submit(
        self, *, video: str, speech: str, options: JobOptions, key: str, background: str = ""
    ) -> tuple[Job, bool]:
        """Accept a job, even on assets that are still being uploaded; the same key gives the same job.

        An upload by tus is no asset before it has ended, so it is named ``upload:`` and its id; the job begins then.

        Returns:
            The job, and whether it is new.

        Raises:
            InvalidInputError: an asset or an option does not fit; names the field.
            LimitExceededError: the speech is too short, or something is too long or too loud.
            NotFoundError: an asset is not there.
            ConflictError: an asset's upload has no id yet, or the key belongs to another job.
            QueueFullError: too many jobs wait.
            DiskFullError: the disk has no room for new work.
        """
        check_key(key)
        self._check_engine(check_engine(options.engine))
        check_background(background, options)
        options = replace(options, timeout_s=round(check_timeout(options.timeout_s), 6))
        if options.webhook:
            self._check_webhook(options.webhook)
        video, speech = await self._asset_id(video, "video"), await self._asset_id(speech, "speech")
        pictures = await self._asset(video, "video")
        check_pictures(pictures.kind)
        self._check_speech(await self._asset(speech, "speech"))
        if background:
            background = await self._asset_id(background, "background")
            _check_sound(await self._asset(background, "background"), "there is no sound in it to mix")
        elif options.keep_sound:
            _check_sound(pictures, "the video has no sound of its own that could be kept")
        options = await self._check_voices(options, pictures)
        now = time.time_ns() // 1000
        job = Job(
            job_id=f"job-{secrets.token_hex(10)}",
            state=JobState.QUEUED,
            video_asset_id=video,
            speech_asset_id=speech,
            background_asset_id=background,
            options=options,
            created_us=now,
            updated_us=now,
            trace=tracing.traceparent(),
        )
        job, is_new = await self._repository.add(job, key, self._queue_limit, self._check_new)
        if is_new:
            _LOG.info("job accepted", job_id=job.job_id)
            self._on_accept(job)
            if job.awaited:
                job = await self._journal.record(job.job_id, notices.upload_awaited(job.awaited))
            self._runner.wake()
        return self._told(job), is_new

    def _told(self, job: Job) -> Job:
        return replace(job, expire_us=self._expires(job))

    async def get(self, job_id: str) -> Job:
        """Describe one job.

        Raises:
            NotFoundError: there is none of this id.
        """
        job = await self._repository.find(check_job_id(job_id))
        if job is None:
            raise NotFoundError("this edge has no such job", field="job_id")
        return self._told(job)

    async def page(self, size: int, token: str, which: Which = ALL_JOBS) -> tuple[list[Job], str]:
        """Jobs from the newest, and the token of the next page.

        Raises:
            InvalidInputError: the size, the token or what is looked for is none.
        """
        count = page_size(size)
        found = await self._repository.page(count=count + 1, before=read_token(token), which=check_which(which))
        # A job may come with thousands of places; a page is one message.
        places = accumulate(job.options.places for job in found)
        count = min(count, max(1, sum(so_far <= _PAGE_PLACES for so_far in places)))
        more = len(found) > count
        return [self._told(job) for job in found[:count]], write_token(found[count - 1].number) if more else ""

    async def cancel(self, job_id: str) -> Job:
        """Stop a job; a job that has ended stays as it is.

        Raises:
            NotFoundError: there is none of this id.
        """
        job = await self.get(job_id)
        if job.state.is_final:
            return job
        # Stopped before it is written down, so that nothing is recorded after the end; and once more, since a waiting
        # job may have begun in between.
        await self._runner.stop(job_id)
        try:
            job = await self._journal.record(job_id, change=Change(state=JobState.CANCELLED))
        except ConflictError:
            # It ended by itself while it was being stopped; whoever was to clear up after it may have been stopped.
            job = await self.get(job_id)
        await self._runner.stop(job_id)
        await asyncio.to_thread(self._runner.clear, job_id)
        if job.state is not JobState.CANCELLED:
            return job
        _LOG.info("job cancelled", job_id=job_id)
        return self._told(job)

    async def delete(self, job_id: str) -> None:
        """Delete a finished job, its events and its result.

        Raises:
            NotFoundError: there is none of this id.
            ConflictError: it has not ended.
        """
        job = await self._repository.remove(check_job_id(job_id))
        if job is None:
            raise NotFoundError("this edge has no such job", field="job_id")
        self._journal.forget(job_id)
        await asyncio.to_thread(self._runner.clear, job_id)
        if job.result_asset_id:
            await self._assets.discard(job.result_asset_id)

    async def delete_many(self, job_ids: Sequence[str]) -> list[tuple[str, VisemeError | None]]:
        """Delete finished jobs; gives of each why it could not be deleted, or None.

        Raises:
            LimitExceededError: they are too many.
        """
        if len(job_ids) > self._list_limit:
            message = f"at most {self._list_limit} jobs are deleted at once, not {len(job_ids)}"
            raise LimitExceededError(message, field="job_ids", limit="job_list")
        done: list[tuple[str, VisemeError | None]] = []
        for job_id in dict.fromkeys(job_ids):
            try:
                await self.delete(job_id)
            except (ConflictError, InvalidInputError, NotFoundError) as error:
                done.append((job_id, error))
            else:
                done.append((job_id, None))
        return done

    async def retry(self, job_id: str, key: str) -> tuple[Job, bool]:
        """Accept a new job on the files and with the options of one that has ended; as :meth:`submit`.

        Raises:
            NotFoundError: there is no such job, or one of its files is gone.
            ConflictError: it has not ended.
        """
        job = await self.get(job_id)
        if not job.state.is_final:
            raise ConflictError(f"the job is {job.state.value}; it may still succeed", field="job_id")
        return await self.submit(
            video=job.video_asset_id,
            speech=job.speech_asset_id,
            background=job.background_asset_id,
            options=job.options,
            key=key,
        )

    async def _check_voices(self, options: JobOptions, video: Asset) -> JobOptions:
        """Look at who is to speak; gives the options with the ids of all speeches."""
        name = options.speaker_name if options.voices else ""
        check_voices(options.speaker, name, options.voices)
        voices = []
        for number, voice in enumerate(options.voices):
            field = voice_field(number + 1)
            speech = await self._asset_id(voice.speech, f"{field}.speech")
            self._check_speech(await self._asset(speech, f"{field}.speech"), f"{field}.speech")
            voices.append(replace(voice, speech=speech))
        options = replace(options, speaker_name=name, voices=tuple(voices))
        if video.ready and video.media is not None:
            cast_of(options, video.media)
        return options

    async def _asset(self, asset_id: str, field: str) -> Asset:
        if is_upload_name(asset_id):  # nothing is known of it yet
            return Asset(number=0, asset_id=asset_id, size_bytes=0, display_name="", created_us=0, ready=False)
        return await self._assets.get(asset_id, field)

    async def _asset_id(self, name: str, field: str) -> str:
        if self._uploaded is not None and is_upload_name(name):
            return await self._uploaded(name, field)
        if self._named is None or not is_library_name(name):
            return name
        return (await self._named(name, field)).asset_id

    def _check_engine(self, name: str) -> None:
        known = self._engines()
        if name and known and name not in known:
            message = f"there is no engine {name}; there are: {', '.join(sorted(known))}"
            raise InvalidInputError(message, field="options.engine")

    def _check_speech(self, asset: Asset, field: str = "speech") -> None:
        if not asset.ready or asset.media is None:
            return
        if not asset.media.has_audio:
            raise InvalidMediaError("there is no sound in it; a recording of speech is needed", field=field)
        shortest = self._limits.min_speech_seconds
        if asset.media.duration_seconds < shortest:
            message = f"the speech lasts {asset.media.duration_seconds:.2f} s, at least {shortest:g} s are needed"
            raise LimitExceededError(message, field=field, limit="min_speech_seconds")


def _check_sound(asset: Asset, message: str) -> None:
    """Refuse a background that is known to have no sound."""
    if asset.ready and asset.media is not None and not asset.media.has_audio:
        raise InvalidMediaError(message, field="background")
