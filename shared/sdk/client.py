"""``connect`` and the edge that it gives."""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from shared.errors import InvalidInputError, VisemeError
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2
from shared.rpc.address import parse_address
from shared.sdk import model
from shared.sdk.assets import Assets
from shared.sdk.convert import capabilities_from, job_from
from shared.sdk.jobs import Job
from shared.sdk.library import Adding, is_library_name, list_library
from shared.sdk.link import Link, Patience
from shared.sdk.pace import Pause, Throttle
from shared.sdk.source import Source, check_file, open_source
from shared.sdk.upload import ProgressCallback, Upload

DEFAULT_PORT: Final = 50051

Input = str | os.PathLike[str] | model.Asset
"""A local file, an asset that the edge has, or (a string that begins with ``lib:``) a file of one of its libraries."""

_OWN_FIELDS: Final = frozenset({"video", "speech"})


def connect(address: str, *, patience: Patience | None = None) -> "Edge":
    """Connect to an edge gateway.

    ::

        async with viseme.connect("127.0.0.1:50051") as edge:
            job = await edge.dub("clip.mp4", "speech.wav")
            await job.save("out.mp4")

    Nothing is sent before the first call, so an edge that is not there shows itself at that call.

    Args:
        address: ``host:port``, or ``host`` for port 50051.
        patience: How long to go on when the edge does not answer.

    Raises:
        InvalidInputError: It is not an address.
    """
    return Edge(address, patience=patience)


class Edge:
    """An edge gateway. Use it as an asynchronous context manager; its calls may run side by side."""

    def __init__(self, address: str, *, patience: Patience | None = None) -> None:
        self._address = parse_address(address, field="edge", default_port=DEFAULT_PORT)
        self._patience = patience or Patience()
        self._open: Link | None = None

    async def __aenter__(self) -> Self:
        if self._open is None:
            self._open = Link(self._address, self._patience)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            link, self._open = self._open, None
            await link.close()

    def __repr__(self) -> str:
        return f"<viseme.Edge {self.address}>"

    @property
    def address(self) -> str:
        """Where the edge listens."""
        return str(self._address)

    @property
    def assets(self) -> Assets:
        """The files that the edge keeps."""
        return Assets(self._link)

    async def capabilities(self) -> model.Capabilities:
        """What the edge can do and what it refuses."""
        request = asset_pb2.GetCapabilitiesRequest()
        return capabilities_from(await self._link.call(self._link.assets.GetCapabilities, request))

    async def upload(
        self,
        path: str | os.PathLike[str],
        *,
        field: str = "file",
        on_progress: ProgressCallback | None = None,
        rate_limit: float = 0,
        pause: Pause | None = None,
    ) -> model.Asset:
        """Bring a file to the edge; chunks that it has are not sent, and a broken upload is taken up by itself.

        Args:
            path: The file.
            field: What to name in errors.
            on_progress: Called with what is verified and on disk at the edge.
            rate_limit: Bytes a second that the upload may take; 0 for as many as the link gives.
            pause: Nothing is sent while it is set.

        Raises:
            InvalidInputError: The file cannot be read, changed meanwhile, or is refused.
            EdgeUnavailableError: The edge stayed silent for too long.
        """
        way = _Way(on_progress=on_progress, throttle=Throttle(rate_limit), pause=pause)
        async with await open_source(Path(path), field=field) as source:
            return await self._upload(source, way)

    async def _upload(self, source: Source, way: "_Way") -> model.Asset:
        field = source.field
        upload = Upload(self._link, source, way.on_progress, throttle=way.throttle, pause=way.pause)
        try:
            return await upload.run()
        except VisemeError as error:
            if field not in _OWN_FIELDS or error.field in _OWN_FIELDS or not isinstance(error, InvalidInputError):
                raise
            # The edge cannot know what the file is to be; the caller does.
            raise type(error)(
                error.message, field=field, limit=error.limit, retry_after_s=error.retry_after_s
            ) from error

    async def dub(
        self,
        video: Input,
        speech: Input,
        *,
        fit: model.FitMode | str = model.FitMode.BOUNCE,
        keep_length: bool = False,
        engine: str = "",
        on_progress: ProgressCallback | None = None,
        rate_limit: float = 0,
        pause: Pause | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Make the face in a video or photo speak a recording.

        Args:
            video: The video or photo: a file, an asset, or the name of a library's file (``lib:LIBRARY/path``).
            speech: The recording, or a video whose sound is taken: named in the same way.
            fit: When the speech is longer than the video.
            keep_length: When the speech is shorter: keep the video's whole length.
            engine: The engine's name; empty for the default.
            on_progress: Called as the uploads come further.
            rate_limit: Bytes a second that the uploads together may take; 0 for as many as the link gives.
            pause: Nothing is uploaded while it is set.
            idempotency_key: The same key gives the same job; one of its own for each call by default.

        Returns:
            The job, accepted.

        Raises:
            InvalidInputError: A file or an option is refused; ``field`` says which.
            EdgeUnavailableError: The edge stayed silent for too long.
        """
        options = _options(fit, keep_length=keep_length, engine=engine)
        way = _Way(on_progress=on_progress, throttle=Throttle(rate_limit), pause=pause)
        for given, field in ((video, "video"), (speech, "speech")):
            if not (isinstance(given, model.Asset) or is_library_name(given)):
                await asyncio.to_thread(check_file, Path(given), field=field)
        video, speech = await self._named(video, "video", on_progress), await self._named(speech, "speech", on_progress)
        begun = time.monotonic()
        video_asset, speech_asset = await self._bring(video, speech, way)
        uploaded = time.monotonic() - begun
        request = job_pb2.SubmitJobRequest(
            video_asset_id=video_asset.id,
            speech_asset_id=speech_asset.id,
            options=options,
            idempotency_key=idempotency_key or uuid.uuid4().hex,
        )
        answer = await self._link.call(self._link.jobs.SubmitJob, request)
        return Job(self._link, job_from(answer.job), upload_seconds=uploaded)

    async def add(self, name: str, *, field: str = "name", on_progress: ProgressCallback | None = None) -> model.Asset:
        """Make a file that lies at the edge an asset, without an upload; asking again costs nothing until it changes.

        Args:
            name: ``lib:LIBRARY/path/in/it``.
            field: What to name in errors.
            on_progress: Called as the edge reads it.

        Raises:
            InvalidInputError: It is no such name, or the file is refused.
            NotFoundError: The edge has no such library or file.
            ConflictError: The file is being written.
        """
        return await Adding(self._link, name, field=field, on_progress=on_progress).run()

    def library(self, name: str, folder: str = "") -> AsyncIterator[model.LibraryFile]:
        """The files of one of the edge's libraries (``capabilities().libraries`` names them), or of a folder in it.

        Raises:
            NotFoundError: There is no such library.
        """
        return list_library(self._link, name, folder)

    async def _named(self, given: Input, field: str, on_progress: ProgressCallback | None) -> Input:
        return await self.add(given, field=field, on_progress=on_progress) if is_library_name(given) else given

    async def job(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            NotFoundError: There is none.
        """
        answer = await self._link.call(self._link.jobs.GetJob, job_pb2.GetJobRequest(job_id=job_id))
        return Job(self._link, job_from(answer.job))

    async def jobs(self) -> AsyncIterator[Job]:
        """All jobs, newest first."""
        token = ""
        while True:
            page = await self._link.call(self._link.jobs.ListJobs, job_pb2.ListJobsRequest(page_token=token))
            for job in page.jobs:
                yield Job(self._link, job_from(job))
            token = page.next_page_token
            if not token:
                return

    @property
    def _link(self) -> Link:
        if self._open is None:
            raise RuntimeError("use it inside `async with viseme.connect(...) as edge:`")
        return self._open

    async def _bring(self, video: Input, speech: Input, way: "_Way") -> tuple[model.Asset, model.Asset]:
        async with AsyncExitStack() as stack:
            given: list[Source | model.Asset] = []
            for one, field in ((video, "video"), (speech, "speech")):
                if isinstance(one, model.Asset):
                    given.append(one)
                else:
                    given.append(await stack.enter_async_context(await open_source(Path(one), field=field)))
            if await _same(given[0], given[1]):
                # One content is one asset: a second writer of it would put the first one out.
                given[1] = given[0]
            sources = {id(source): source for source in reversed(given) if isinstance(source, Source)}
            uploads = {key: asyncio.create_task(self._upload(source, way)) for key, source in sources.items()}
            try:
                await asyncio.gather(*uploads.values())
            finally:
                for upload in uploads.values():
                    upload.cancel()
                await asyncio.gather(*uploads.values(), return_exceptions=True)
            video_asset, speech_asset = (
                one if isinstance(one, model.Asset) else uploads[id(one)].result() for one in given
            )
            return video_asset, speech_asset


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How uploads of one call go."""

    on_progress: ProgressCallback | None
    throttle: Throttle
    pause: Pause | None


async def _same(one: Source | model.Asset, other: Source | model.Asset) -> bool:
    """Whether two files have one content; most pairs are told apart before they are hashed."""
    if isinstance(one, model.Asset) or isinstance(other, model.Asset) or one.size_bytes != other.size_bytes:
        return False
    ends = (0, one.count - 1)
    await asyncio.gather(one.hashed(*ends), other.hashed(*ends))
    if any(one.digests[end] != other.digests[end] for end in ends):
        return False
    await asyncio.gather(one.hashed(), other.hashed())
    return one.digests == other.digests


def _options(fit: model.FitMode | str, *, keep_length: bool, engine: str) -> job_pb2.JobOptions:
    try:
        mode = model.FitMode(fit)
    except ValueError:
        names = ", ".join(model.FitMode)
        raise InvalidInputError(f"{fit!r} is none of {names}", field="options.fit") from None
    return job_pb2.JobOptions(
        fit=job_pb2.FitMode.Value(f"FIT_MODE_{mode.upper()}"), keep_length=keep_length, engine=engine
    )
