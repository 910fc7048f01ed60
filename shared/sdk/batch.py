"""Many jobs at one edge: some at once, each file brought once, one event stream for all, no failure stops the rest."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict

from shared.errors import InvalidInputError, NotFoundError, QueueFullError, VisemeError
from shared.sdk import model
from shared.sdk.bring import Input
from shared.sdk.ends import Ends, EventCallback
from shared.sdk.jobs import Job
from shared.sdk.library import is_edge_name
from shared.sdk.pace import Pause, Throttle
from shared.sdk.speaker import Who
from shared.sdk.upload import ProgressCallback

if TYPE_CHECKING:
    from shared.sdk.client import Edge

_CANCEL_S: Final = 5.0
_QUEUE_PAUSE_S: Final = 5.0
_UPLOADS: Final = 4
"""Files on their way at once: enough to fill a link with small ones, few enough that the first jobs begin soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What one job of a batch is made of."""

    video: Input
    speech: Input | Mapping[str, Input]
    """Or several, by the names of the faces that speak them."""
    idempotency_key: str = ""
    """The same key gives the same job; one of its own by default."""


Pairs = Iterable[Pair | tuple[Input, Input]] | AsyncIterable[Pair | tuple[Input, Input]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dubbed:
    """How one job of a batch ended."""

    index: int
    """Its place among the pairs, from 0."""
    pair: Pair
    job: Job | None
    """None where none was accepted."""
    error: VisemeError | None
    """Why there is no result; None where there is one."""

    def result(self) -> Job:
        """The job that succeeded.

        Raises:
            VisemeError: Why none did.
        """
        if self.error is not None:
            raise self.error
        if self.job is None:
            raise InvalidInputError("there is neither a job nor an error")
        return self.job


class DubOptions(TypedDict, total=False):
    """What :meth:`Edge.dub` takes for all jobs of a batch alike."""

    speaker: Who | Mapping[str, Who] | None
    fit: model.FitMode | str
    keep_length: bool
    engine: str
    background: Input | None
    background_volume: float
    timeout: float | None
    webhook: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How a batch is done."""

    options: DubOptions
    concurrency: int
    idempotency_key: str
    on_progress: ProgressCallback | None
    on_event: EventCallback | None
    throttle: Throttle
    pause: Pause | None


class _Files:
    """Brings each file once, however many jobs need it."""

    def __init__(self, edge: "Edge", batch: Batch) -> None:
        self._edge = edge
        self._batch = batch
        self._coming: dict[str, asyncio.Task[model.Asset]] = {}
        self._room = asyncio.Semaphore(_UPLOADS)

    async def asset(self, given: Input, field: str) -> model.Asset:
        """The asset of a file.

        Raises:
            VisemeError: It cannot be brought.
        """
        if isinstance(given, model.Asset):
            return given
        name = given if is_edge_name(given) else str(await asyncio.to_thread(Path(given).absolute))
        name = f"{self._edge.address} {name}"  # what one edge has another has not
        coming = self._coming.get(name)
        if coming is None:
            coming = self._coming[name] = asyncio.create_task(self._bring(given, field))
        try:
            # Shielded: a job that is given up must not take the file from the others.
            return await asyncio.shield(coming)
        except VisemeError:
            self._coming.pop(name, None)
            raise

    async def _bring(self, given: Input, field: str) -> model.Asset:
        told, batch = self._batch.on_progress, self._batch
        if is_edge_name(given):
            return await self._edge.add(given, field=field, on_progress=told)
        if isinstance(given, model.Asset):
            return given
        async with self._room:
            return await self._edge.upload(
                given, field=field, on_progress=told, throttle=batch.throttle, pause=batch.pause
            )

    async def stop(self) -> None:
        """Bring nothing more."""
        for coming in self._coming.values():
            coming.cancel()
        await asyncio.gather(*self._coming.values(), return_exceptions=True)


class Dubbing:
    """The jobs of one batch on their way.

    Args:
        edge: Where.
        pairs: What.
        batch: How.
        ends: Waits for them.
    """

    def __init__(self, edge: "Edge", pairs: Pairs, batch: Batch, ends: Ends) -> None:
        self._edge = edge
        self._pairs = pairs
        self._batch = batch
        self._ends = ends
        self._files = _Files(edge, batch)
        self._room = asyncio.Semaphore(batch.concurrency)
        self._over: asyncio.Queue[Dubbed | None] = asyncio.Queue()
        self._running: dict[str, Job] = {}

    async def results(self) -> AsyncGenerator[Dubbed, None]:
        """How each ended, as it ends. Whoever leaves before the end cancels what runs."""
        feeding = asyncio.create_task(self._feed())
        try:
            while (dubbed := await self._over.get()) is not None:
                yield dubbed
        finally:
            is_left = not feeding.done()
            feeding.cancel()
            await asyncio.wait({feeding})
            await self._files.stop()
            if is_left:
                await self._cancel_jobs()
        await feeding

    async def _feed(self) -> None:
        broken: Exception | None = None
        async with asyncio.TaskGroup() as tasks, aclosing(_each(self._pairs)) as pairs:
            index = 0
            while True:
                await self._room.acquire()
                try:
                    pair = await anext(pairs)
                except StopAsyncIteration:
                    break
                except Exception as error:  # noqa: BLE001 - of the caller's own; it is raised once what runs is over
                    broken = error
                    break
                tasks.create_task(self._one(index, pair))
                index += 1
        self._over.put_nowait(None)
        if broken is not None:
            raise broken

    async def _one(self, index: int, pair: Pair) -> None:
        job: Job | None = None
        error: VisemeError | None = None
        try:
            job = await self._submit(index, pair)
            self._running[job.id] = job
            await self._to_end(job)
            job.result()
        except VisemeError as failed:
            error = failed
        finally:
            self._room.release()
        if job is not None and job.state.is_final:
            self._running.pop(job.id, None)
        self._over.put_nowait(Dubbed(index=index, pair=pair, job=job, error=error))

    async def _to_end(self, job: Job) -> None:
        """Wait for the end of a job, wherever it goes on."""
        while not job.state.is_final:
            job_id = job.id
            try:
                await self._ends.of(job_id, job.status.last_sequence)
            except NotFoundError:
                await job.refresh()
                if job.id == job_id:
                    raise
                self._running[job.id] = self._running.pop(job_id)
            else:
                await job.refresh()

    async def _submit(self, index: int, pair: Pair) -> Job:
        options = self._batch.options.copy()
        under = options.get("background")
        heard = pair.speech if isinstance(pair.speech, Mapping) else {"": pair.speech}
        async with asyncio.TaskGroup() as tasks:
            picture = tasks.create_task(self._file(pair.video, "video"))
            sounds = {name: tasks.create_task(self._file(one, "speech")) for name, one in heard.items()}
            if under is not None and under != model.KEEP:
                background = tasks.create_task(self._file(under, "background"))
        video = _whole(picture.result())
        speeches: dict[str, Input] = {name: _whole(sound.result()) for name, sound in sounds.items()}
        if under is not None and under != model.KEEP:
            options["background"] = _whole(background.result())
        speech = speeches if isinstance(pair.speech, Mapping) else speeches[""]
        key = pair.idempotency_key or f"{self._batch.idempotency_key}-{index}"
        while True:
            try:
                job = await self._edge.dub(video, speech, idempotency_key=key, **options)
            except QueueFullError as full:
                # Others' jobs fill the queue; the edge works them off.
                await asyncio.sleep((full.retry_after_s or _QUEUE_PAUSE_S) * random.uniform(1.0, 1.5))  # noqa: S311
            else:
                job.moves_by(lambda: self._submit(index, pair))  # another edge has its files not as assets
                return job

    async def _file(self, given: Input, field: str) -> model.Asset | VisemeError:
        try:
            return await self._files.asset(given, field)
        except VisemeError as error:
            return error

    async def _cancel_jobs(self) -> None:
        """What nobody waits for any more does not go on, up to the GPU."""

        async def cancel(job: Job) -> None:
            try:
                async with asyncio.timeout(_CANCEL_S):
                    await job.cancel()
            except (VisemeError, TimeoutError):
                return

        await asyncio.gather(*map(cancel, self._running.values()))


def pair_of(given: Pair | tuple[Input, Input]) -> Pair:
    """A pair, which may be given as video and speech in a row."""
    if isinstance(given, Pair):
        return given
    try:
        video, speech = given
    except (TypeError, ValueError):
        raise InvalidInputError("a pair is (video, speech), or a viseme.Pair", field="pairs") from None
    return Pair(video=video, speech=speech)


async def _each(pairs: Pairs) -> AsyncGenerator[Pair, None]:
    if isinstance(pairs, AsyncIterable):
        async for pair in pairs:
            yield pair_of(pair)
    else:
        for pair in pairs:
            yield pair_of(pair)


def _whole(brought: model.Asset | VisemeError) -> model.Asset:
    if isinstance(brought, VisemeError):
        raise brought
    return brought
