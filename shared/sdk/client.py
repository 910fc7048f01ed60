"""``connect`` and the edge that it gives."""

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Final, Self, Unpack

from shared.errors import InvalidInputError, LimitExceededError, MissingChunksError, NotFoundError
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2
from shared.rpc.address import parse_address
from shared.sdk import model
from shared.sdk.assets import Assets
from shared.sdk.batch import Batch, Dubbed, Dubbing, DubOptions, Pairs
from shared.sdk.bring import Bringing, Input, Way, bring_file
from shared.sdk.convert import asset_from, capabilities_from, job_from, time_from
from shared.sdk.ends import Ends, EventCallback
from shared.sdk.entry import check_shown, trust_of
from shared.sdk.jobs import Job
from shared.sdk.library import ASSET_SCHEME, Adding, is_edge_name, list_library
from shared.sdk.link import Link, Patience
from shared.sdk.pace import Pause, Throttle
from shared.sdk.request import asked, duration_to, options_to
from shared.sdk.source import check_file, open_source
from shared.sdk.speaker import Part, Who, parts_of, speaker_to
from shared.sdk.upload import ProgressCallback
from shared.sdk.webhooks import Webhooks

DEFAULT_PORT: Final = 50051

_NEWEST_JOBS: Final = 500
"""Jobs among which an unfinished one is looked for: as many as one page has at most."""


_MOST_AT_ONCE: Final = 1000
"""Jobs that one event stream follows."""


def connect(
    address: str | Sequence[str],
    *,
    patience: Patience | None = None,
    prefer: str | None = None,
    on_change: Callable[[model.EdgeChange], None] = lambda _: None,
    key: str = "",
    ca: str | os.PathLike[str] | None = None,
    insecure: bool = False,
) -> "Edge":
    """Connect to an edge gateway, or to the nearest of several.

    ::

        async with viseme.connect("127.0.0.1:50051") as edge:
            job = await edge.dub("clip.mp4", "speech.wav")
            await job.save("out.mp4")

    Nothing is sent before the first call, so an edge that is not there shows itself at that call.

    Of several edges the one that answers soonest is taken at the beginning of the block. When it does not answer any
    more, uploads and jobs go on at the next that does: of an upload that edge is sent what it has not, and a job is
    submitted there again with the same key, so that its id changes and its events begin anew. A job that was taken by
    its id stays where it is.

    Args:
        address: ``host:port``, or ``host`` for port 50051, after ``https://`` by TLS; several in a list.
        patience: How long to go on when the edge does not answer.
        prefer: The one of several that is taken if it answers nearly as soon as the first.
        on_change: Told which of several is used, and what must be sent to it again.
        key: A key of ``viseme keys`` or a provider's token, where the edge asks who calls.
        ca: A file in PEM of those who vouch for edges at ``https://``; else the system's.
        insecure: Whether a key may be shown to another machine without TLS.

    Raises:
        InvalidInputError: It is not an address, or there is none; or a key would go over a network in the clear.
    """
    return Edge(address, patience=patience, prefer=prefer, on_change=on_change, key=key, ca=ca, insecure=insecure)


class Edge:
    """An edge gateway. Use it as an asynchronous context manager; its calls may run side by side."""

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        patience: Patience | None = None,
        prefer: str | None = None,
        on_change: Callable[[model.EdgeChange], None] = lambda _: None,
        key: str = "",
        ca: str | os.PathLike[str] | None = None,
        insecure: bool = False,
    ) -> None:
        if not key.isascii() or not key.isprintable():
            raise InvalidInputError("a key has ASCII letters, digits and signs alone", field="key")
        self._key = key
        given = [address] if isinstance(address, str) else address
        self._addresses = list(
            dict.fromkeys(parse_address(one, field="edge", default_port=DEFAULT_PORT) for one in given)
        )
        if not self._addresses:
            raise InvalidInputError("name one edge at least, HOST:PORT", field="edge")
        self._trust = trust_of(ca)
        check_shown(key, self._addresses, insecure=insecure)
        self._prefer = parse_address(prefer, field="edge", default_port=DEFAULT_PORT) if prefer else None
        self._on_change = on_change
        self._patience = patience or Patience()
        self._open: Link | None = None
        self._bringings: set[Bringing] = set()

    async def __aenter__(self) -> Self:
        if self._open is None:
            self._open = Link(self._addresses, self._patience, self._on_change, key=self._key, trust=self._trust)
            await self._open.settle(self._prefer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._bringings:
            await self._bringings.pop().stop()
        if self._open is not None:
            link, self._open = self._open, None
            await link.close()

    def __repr__(self) -> str:
        return f"<viseme.Edge {self.address}>"

    @property
    def address(self) -> str:
        """Where the edge listens; of several the one in use."""
        return str(self._addresses[0] if self._open is None else self._open.address)

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
        throttle: Throttle | None = None,
        pause: Pause | None = None,
    ) -> model.Asset:
        """Bring a file to the edge; chunks that it has are not sent, and a broken upload is taken up by itself.

        Args:
            path: The file.
            field: What to name in errors.
            on_progress: Called with what is verified and on disk at the edge.
            rate_limit: Bytes a second that the upload may take; 0 for as many as the link gives.
            throttle: In place of ``rate_limit`` for several uploads that keep one rate together.
            pause: Nothing is sent while it is set.

        Raises:
            InvalidInputError: The file cannot be read, changed meanwhile, or is refused.
            EdgeUnavailableError: The edge stayed silent for too long.
        """
        way = Way(on_progress=on_progress, throttle=throttle or Throttle(rate_limit), pause=pause)
        async with await open_source(Path(path), field=field) as source:
            return await bring_file(self._link, source, way)

    async def dub(
        self,
        video: Input,
        speech: Input | Mapping[str, Input],
        *,
        speaker: Who | Mapping[str, Who] | None = None,
        fit: model.FitMode | str = model.FitMode.BOUNCE,
        keep_length: bool = False,
        engine: str = "",
        background: Input | None = None,
        background_volume: float = model.BACKGROUND_VOLUME,
        on_progress: ProgressCallback | None = None,
        rate_limit: float = 0,
        pause: Pause | None = None,
        idempotency_key: str | None = None,
        take_up: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - the edge keeps it, also when nobody waits here any more
        webhook: str = "",
    ) -> Job:
        """Make the face in a video or photo speak a recording.

        The job begins while its files are still on their way: they go on in the background, see :class:`Job`, and
        ``Job.uploaded()`` waits for them.

        Args:
            video: The video or photo: a file, an asset, or the name of a library's file (``lib:LIBRARY/path``) or of an
                asset (``asset:ID``).
            speech: The recording, or a video whose sound is taken: named in the same way. Or several by the names of
                the faces that speak them: ``left``, ``right``, ``center``, ``largest``, or names of your own.
            speaker: The face that speaks, see :data:`shared.sdk.speaker.Who`; by default the largest of each shot. Or,
                where speeches have names of your own, the faces by name.
            fit: When the speech is longer than the video.
            keep_length: When the speech is shorter: keep the video's whole length.
            engine: The engine's name; empty for the default.
            background: What is heard under the speech: a file with sound, named in the same way, or "keep" for the
                video's own sound. It begins again where it is shorter; the video's own goes with the pictures.
            background_volume: What its samples are multiplied by, 0 to 2. The speech is as loud as it was; where both
                together would clip, the background gives way.
            on_progress: Called as the uploads come further.
            rate_limit: Bytes a second that the uploads together may take; 0 for as many as the link gives.
            pause: Nothing is uploaded while it is set.
            idempotency_key: The same key gives the same job; one of its own for each call by default.
            take_up: Go on with an unfinished job of the same files and options, if the edge has one.
            timeout: Seconds from its acceptance after which the job fails, with the reason ``deadline_exceeded``. The
                edge keeps the time: it stops the work, up to the GPU, also when this program has ended.
            webhook: A URL to which the edge tells the job's end, see :func:`verify_webhook`; the operator's setting
                ``webhook_hosts`` must name its host.

        Returns:
            The job, accepted.

        Raises:
            InvalidInputError: A file or an option is refused; ``field`` says which.
            EdgeUnavailableError: The edge stayed silent for too long.
        """
        key = idempotency_key or uuid.uuid4().hex

        async def attempt(taking_up: bool) -> Job:
            return await self._dub(
                video,
                speech,
                speaker=speaker,
                order=job_pb2.SubmitJobRequest(
                    options=options_to(fit, keep_length=keep_length, engine=engine),
                    idempotency_key=key,
                    webhook=webhook,
                    timeout=duration_to(timeout),
                ),
                background=background,
                background_volume=background_volume,
                way=Way(on_progress=on_progress, throttle=Throttle(rate_limit), pause=pause),
                take_up=taking_up,
            )

        async def again() -> Job:
            return await self._in_place(lambda: attempt(False))

        job = await self._in_place(lambda: attempt(take_up))
        job.moves_by(again)
        return job

    async def _in_place(self, attempt: Callable[[], Awaitable[Job]]) -> Job:
        """Submit a job; once more where the edge was changed in the middle, so that the new one lacks a file."""
        while True:
            place = self._link.place
            try:
                return await attempt()
            except (NotFoundError, MissingChunksError):
                if place == self._link.place:
                    raise

    async def _dub(
        self,
        video: Input,
        speech: Input | Mapping[str, Input],
        *,
        speaker: Who | Mapping[str, Who] | None,
        order: job_pb2.SubmitJobRequest,
        background: Input | None,
        background_volume: float,
        way: Way,
        take_up: bool,
    ) -> Job:
        options = order.options
        if background is not None:
            options.keep_sound, options.background_volume = background == model.KEEP, background_volume
        under = None if options.keep_sound else background
        parts = await asyncio.to_thread(parts_of, speech, speaker)
        if (chosen := speaker_to(parts[0].speaker)) is not None:
            options.speaker.CopyFrom(chosen)
        on_progress = way.on_progress
        heard = [(part.speech, "speech") for part in parts]
        for given, field in ((video, "video"), *heard, (under, "background")):
            if not (given is None or isinstance(given, model.Asset) or is_edge_name(given)):
                await asyncio.to_thread(check_file, Path(given), field=field)
        video = await self._named(video, "video", on_progress)
        speeches = [await self._named(part.speech, "speech", on_progress) for part in parts]
        under = None if under is None else await self._named(under, "background", on_progress)
        uploads = await Bringing.open(self._link, video, speeches, way, under)
        self._bringings = {known for known in self._bringings if not known.is_over} | {uploads}
        try:
            # Before anything is sent: a job that only waited for that may end as soon as it has come.
            unfinished = await self._unfinished() if take_up else []
            uploads.start()
            return await self._submit(uploads, order, parts, unfinished)
        except BaseException:
            await uploads.stop()
            raise

    async def dub_many(
        self,
        pairs: Pairs,
        *,
        concurrency: int = 8,
        idempotency_key: str | None = None,
        on_progress: ProgressCallback | None = None,
        on_event: EventCallback | None = None,
        rate_limit: float = 0,
        pause: Pause | None = None,
        **options: Unpack[DubOptions],
    ) -> AsyncGenerator[Dubbed, None]:
        """Dub many pairs of video and speech; gives how each ended, as it ends. No failure stops the rest.

        A file that several pairs share is brought once, and one event stream tells of all jobs. Whoever leaves the loop
        early closes the generator (``contextlib.aclosing``): what still runs is cancelled, up to the GPU.

        ::

            async for dubbed in edge.dub_many([("a.mp4", "a.wav"), ("b.mp4", "b.wav")]):
                if dubbed.error is None:
                    await dubbed.result().save(f"{dubbed.index}.mp4")

        Args:
            pairs: ``(video, speech)``, or :class:`Pair` with more; taken one by one as there is room.
            concurrency: Jobs at once.
            idempotency_key: Called again with the same key and the same pairs, it gives the same jobs.
            on_progress: Called as files are brought.
            on_event: Called with everything that happens to the jobs.
            rate_limit: Bytes a second that all uploads together may take; 0 for as many as the link gives.
            pause: Nothing is uploaded while it is set.
            options: As for :meth:`dub`, for all of them alike.

        Raises:
            InvalidInputError: What is given is no pair; once what runs is over.
        """
        if not 1 <= concurrency <= _MOST_AT_ONCE:
            message = f"1 to {_MOST_AT_ONCE} jobs run at once: one event stream tells of all"
            raise LimitExceededError(message, field="concurrency", limit="session_jobs")
        batch = Batch(
            options=options,
            concurrency=concurrency,
            idempotency_key=idempotency_key or uuid.uuid4().hex,
            on_progress=on_progress,
            on_event=on_event,
            throttle=Throttle(rate_limit),
            pause=pause,
        )
        async with (
            Ends(self._link, on_event) as ends,
            aclosing(Dubbing(self, pairs, batch, ends).results()) as results,
        ):
            async for dubbed in results:
                yield dubbed

    async def _submit(
        self,
        uploads: Bringing,
        request: job_pb2.SubmitJobRequest,
        parts: Sequence[Part],
        unfinished: list[job_pb2.Job],
    ) -> Job:
        options = request.options
        video, *heard = await uploads.names()
        (speech, *others), background = heard[: len(parts)], "".join(heard[len(parts) :])
        options.speaker_name = parts[0].name if others else ""
        for part, asset_id in zip(parts[1:], others, strict=True):
            voice = job_pb2.Voice(name=part.name, speech_asset_id=asset_id, speaker=speaker_to(part.speaker))
            options.voices.append(voice)
        request.video_asset_id, request.speech_asset_id, request.background_asset_id = video, speech, background
        for known in unfinished:
            if asked(known) == asked(request):
                job = Job(self._link, job_from(known), uploads=uploads, is_taken_up=True)
                if (await job.refresh()).state not in {model.JobState.FAILED, model.JobState.CANCELLED}:
                    return job
        try:
            answer = await self._link.call(self._link.jobs.SubmitJob, request)
        except (MissingChunksError, NotFoundError):
            # An edge that only takes what is complete, or that found at the end of an upload that it is no media.
            if not uploads.has_files:
                raise
            await uploads.done()
            answer = await self._link.call(self._link.jobs.SubmitJob, request)
        uploads.job_id = answer.job.job_id
        return Job(self._link, job_from(answer.job), uploads=uploads)

    async def _unfinished(self) -> list[job_pb2.Job]:
        """The jobs that are not over, among the newest."""
        self._link.warm()
        page = await self._link.call(self._link.jobs.ListJobs, job_pb2.ListJobsRequest(page_size=_NEWEST_JOBS))
        return [job for job in page.jobs if not job_from(job).state.is_final]

    async def add(self, name: str, *, field: str = "name", on_progress: ProgressCallback | None = None) -> model.Asset:
        """Make a file that lies at the edge an asset, without an upload; asking again costs nothing until it changes.

        Args:
            name: ``lib:LIBRARY/path/in/it``, or ``asset:`` and the id of an asset or a beginning of it.
            field: What to name in errors.
            on_progress: Called as the edge reads it.

        Raises:
            InvalidInputError: It is no such name, or the file is refused.
            NotFoundError: The edge has no such library or file.
            ConflictError: The file is being written.
        """
        if name.startswith(ASSET_SCHEME):
            return await self.assets.get(await self.assets.complete_id(name.removeprefix(ASSET_SCHEME)))
        return await Adding(self._link, name, field=field, on_progress=on_progress).run()

    def library(self, name: str, folder: str = "") -> AsyncIterator[model.LibraryFile]:
        """The files of one of the edge's libraries (``capabilities().libraries`` names them), or of a folder in it.

        Raises:
            NotFoundError: There is no such library.
        """
        return list_library(self._link, name, folder)

    async def _named(self, given: Input, field: str, on_progress: ProgressCallback | None) -> Input:
        return await self.add(given, field=field, on_progress=on_progress) if is_edge_name(given) else given

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

    async def faces(self) -> AsyncIterator[model.Face]:
        """The videos and photos that jobs used, the one first that was used last."""
        token = ""
        while True:
            request = asset_pb2.ListFacesRequest(page_token=token)
            page = await self._link.call(self._link.assets.ListFaces, request)
            for face in page.faces:
                yield model.Face(asset=asset_from(face.asset), used=time_from(face.use_time), jobs=face.jobs)
            token = page.next_page_token
            if not token:
                return

    @property
    def webhooks(self) -> Webhooks:
        """What the edge tells of jobs' ends by HTTP."""
        return Webhooks(self._link)

    @property
    def _link(self) -> Link:
        if self._open is None:
            raise RuntimeError("use it inside `async with viseme.connect(...) as edge:`")
        return self._open
