"""The files of one job on their way to the edge, while the job runs already."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from shared.errors import EdgeUnavailableError, InvalidInputError, VisemeError
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.sdk import model
from shared.sdk.link import Link
from shared.sdk.pace import Pause, Throttle
from shared.sdk.source import Source, open_source
from shared.sdk.upload import ProgressCallback, Upload

Input = str | os.PathLike[str] | model.Asset
"""A local file, an asset that the edge has, or (a string that begins with ``lib:``) a file of one of its libraries."""

_OWN_FIELDS: Final = frozenset({"video", "speech", "background"})

_SETTLE_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How uploads of one call go."""

    on_progress: ProgressCallback | None
    throttle: Throttle
    pause: Pause | None


async def bring_file(link: Link, source: Source, way: Way) -> model.Asset:
    """Upload one file.

    Raises:
        VisemeError: See :meth:`shared.sdk.upload.Upload.run`.
    """
    return await _run(Upload(link, source, way.on_progress, throttle=way.throttle, pause=way.pause), source.field)


async def _run(upload: Upload, field: str) -> model.Asset:
    try:
        return await upload.run()
    except VisemeError as error:
        if field not in _OWN_FIELDS or error.field in _OWN_FIELDS or not isinstance(error, InvalidInputError):
            raise
        # The edge cannot know what the file is to be; the caller does.
        raise type(error)(error.message, field=field, limit=error.limit, retry_after_s=error.retry_after_s) from error


class Bringing:
    """A job's files on their way. Made by :meth:`open`, begun by :meth:`start`, ended by :meth:`stop` or itself.

    They are the video, the speeches and, where there is one, the background. What is heard goes before the bulk of the
    video: it is small, and nothing can be rendered without the speeches.
    """

    def __init__(self, link: Link) -> None:
        self.seconds: float | None = None
        """What it took, once everything is there."""
        self.error: VisemeError | None = None
        """Why it failed for good."""
        self.job_id = ""
        """The job that is made of these files alone by this client; it is cancelled when they fail."""
        self._link = link
        self._clock = asyncio.get_running_loop().time
        self._stack = AsyncExitStack()
        self._given: list[Source | model.Asset] = []
        self._uploads: dict[Source, Upload] = {}
        self._before: set[Source] = set()
        self._failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, link: Link, video: Input, speeches: Sequence[Input], way: Way, background: Input | None = None
    ) -> "Bringing":
        """Open the files and begin to hash them.

        Raises:
            InvalidInputError: A file cannot be read or is empty.
        """
        made = cls(link)
        try:
            await made._open(video, speeches, background, way)
        except BaseException:
            await made._stack.aclose()
            raise
        return made

    def start(self) -> None:
        """Begin to upload."""
        self._task = asyncio.create_task(self._run())

    async def _open(self, video: Input, speeches: Sequence[Input], background: Input | None, way: Way) -> None:
        under = [] if background is None else [(background, "background")]
        for one, field in ((video, "video"), *((speech, "speech") for speech in speeches), *under):
            given: Source | model.Asset
            if isinstance(one, model.Asset):
                given = one
            else:
                given = await self._stack.enter_async_context(await open_source(Path(one), field=field))
            # One content is one asset: a second writer of it would put the first one out.
            twins = [other for other in self._given if await same(other, given)]
            self._given.append(twins[0] if twins else given)
        picture, *sounds = self._given
        spoken = sounds[: len(speeches)]
        self._before = {sound for sound in spoken if isinstance(sound, Source) and sound is not picture}
        if isinstance(picture, Source):
            waits = bool(self._before)
            self._uploads[picture] = Upload(
                self._link, picture, way.on_progress, throttle=way.throttle, pause=way.pause, ends_first=waits
            )
        for sound in sounds:
            if isinstance(sound, Source) and sound not in self._uploads:
                sent = partial(self._release, sound)
                self._uploads[sound] = Upload(
                    self._link, sound, way.on_progress, throttle=way.throttle, pause=way.pause, on_sent=sent
                )

    @property
    def has_files(self) -> bool:
        """Whether there is anything to bring at all."""
        return bool(self._uploads)

    @property
    def is_over(self) -> bool:
        """Whether nothing is on its way any more."""
        return self._task is not None and self._task.done()

    @property
    def failing(self) -> asyncio.Future[None] | None:
        """Ends, with the error, when the uploads fail for good; None when they cannot any more."""
        return None if self.is_over and self.error is None else self._failing

    async def names(self) -> tuple[str, ...]:
        """Wait until the edge knows all files as assets, complete or not; gives their ids in the order of :meth:`open`.

        Raises:
            VisemeError: An upload failed.
        """
        naming = asyncio.create_task(self._names())
        try:
            waits: set[asyncio.Future[Any]] = {naming, self._failing}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if self.error is not None:
                raise self.error
            return naming.result()
        finally:
            naming.cancel()

    async def done(self) -> None:
        """Wait until everything is at the edge, or was stopped.

        Raises:
            VisemeError: An upload failed.
        """
        if self._task is not None:
            await asyncio.wait({self._task})
        if self.error is not None:
            raise self.error

    async def settle(self) -> None:
        """Let uploads end that the edge has seen to the end, as its job succeeded."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_SETTLE_S)

    def cancel(self) -> None:
        """Stop; nobody needs the files any more."""
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        """Stop, and wait until nothing is sent any more."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})
        await self._stack.aclose()

    async def _names(self) -> tuple[str, ...]:
        return tuple([await self._name(given) for given in self._given])

    async def _name(self, given: Source | model.Asset) -> str:
        return given.id if isinstance(given, model.Asset) else await self._uploads[given].named()

    async def _run(self) -> None:
        begun = self._clock()
        async with self._stack:
            try:
                await self._upload_all()
            except VisemeError as error:
                self._fail(error)
                await self._cancel_job(error)
            else:
                self.seconds = self._clock() - begun

    async def _upload_all(self) -> None:
        tasks = [asyncio.create_task(_run(upload, source.field)) for source, upload in self._uploads.items()]
        for task, source in zip(tasks, self._uploads, strict=True):
            if source in self._before:
                task.add_done_callback(partial(self._release, source))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _release(self, speech: Source, _: object = None) -> None:
        """A speech has gone: the video may follow once all have."""
        self._before.discard(speech)
        if not self._before and isinstance(self._given[0], Source):
            self._uploads[self._given[0]].release()

    def _fail(self, error: VisemeError) -> None:
        self.error = error
        self._failing.set_exception(error)
        self._failing.exception()  # seen, though nobody may wait for it

    async def _cancel_job(self, error: VisemeError) -> None:
        """End the job that can never go on; one whose edge is only out of reach may be taken up again."""
        if self.job_id and not isinstance(error, EdgeUnavailableError):
            with contextlib.suppress(VisemeError):
                await self._link.call(self._link.jobs.CancelJob, job_pb2.CancelJobRequest(job_id=self.job_id))


async def same(one: Source | model.Asset, other: Source | model.Asset) -> bool:
    """Whether two files have one content; most pairs are told apart before they are hashed."""
    if isinstance(one, model.Asset) or isinstance(other, model.Asset) or one.size_bytes != other.size_bytes:
        return False
    ends = (0, one.count - 1)
    await asyncio.gather(one.hashed(*ends), other.hashed(*ends))
    if any(one.digests[end] != other.digests[end] for end in ends):
        return False
    await asyncio.gather(one.hashed(), other.hashed())
    return one.digests == other.digests
