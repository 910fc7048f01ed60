"""``viseme.sync``: the same names for programs without an event loop.

::

    with viseme.sync.connect("127.0.0.1:50051") as edge:
        job = edge.dub("clip.mp4", "speech.wav")
        for event in job.events():
            print(event)
        job.save("out.mp4")

An event loop runs in a thread of its own while an edge is open. Ctrl-C in a call ends that call as cancelling ends the
asynchronous one: what it was about is cleaned up first, then ``KeyboardInterrupt`` comes.
"""

import asyncio
import functools
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from shared.errors import ConflictError
from shared.sdk import assets, batch, client, jobs, model, webhooks
from shared.sdk.link import Patience

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")

_STOP_S = 30.0
_LOOK_UP_S = 0.5


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="viseme", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something there and wait for it; whoever interrupts the wait waits until it was cleaned up."""
        if not self._thread.is_alive():
            work.close()
            raise ConflictError("the edge is closed; use it inside `with viseme.sync.connect(...) as edge:`")
        if threading.current_thread() is self._thread:
            work.close()
            raise ConflictError("a callback runs in the event loop's own thread: it cannot wait for the edge there")
        tasks: list[asyncio.Task[T]] = []
        over = threading.Event()

        def begin() -> None:
            tasks.append(self._loop.create_task(work))
            tasks[0].add_done_callback(lambda _: over.set())

        self._loop.call_soon_threadsafe(begin)
        try:
            # Python may take note of Ctrl-C just before it blocks, and would then sleep on it.
            while not over.wait(_LOOK_UP_S):
                pass
        except BaseException:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())  # noqa: PLW0108 - the task may not be there yet
            over.wait(_STOP_S)
            raise
        return tasks[0].result()

    @property
    def is_running(self) -> bool:
        """Whether anything can be done there."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _waits(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Any, P], T]:
    """The same method, which waits."""

    @functools.wraps(method)
    def waiting(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        loop: _Loop = self.loop  # first: where it is closed, nothing may be begun
        return loop.run(method(self.asynchronous, *args, **kwargs))

    return waiting


def _gives(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]], wrap: Callable[[_Loop, T], S]
) -> Callable[Concatenate[Any, P], S]:
    """The same method, which waits, and gives what waits in turn."""

    @functools.wraps(method)
    def giving(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> S:
        loop: _Loop = self.loop
        return wrap(loop, loop.run(method(self.asynchronous, *args, **kwargs)))

    return giving


def _iterates(
    method: Callable[Concatenate[Any, P], AsyncIterator[T]], wrap: Callable[[_Loop, T], S]
) -> Callable[Concatenate[Any, P], Iterator[S]]:
    """The same iterator, for a plain loop; leaving the loop early closes it."""

    @functools.wraps(method)
    def iterating(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[S]:
        return _iterate(self.loop, method(self.asynchronous, *args, **kwargs), wrap)

    return iterating


def _iterate(loop: _Loop, items: AsyncIterator[T], wrap: Callable[[_Loop, T], S]) -> Iterator[S]:
    try:
        while True:
            try:
                item = loop.run(_next(items))
            except StopAsyncIteration:
                return
            yield wrap(loop, item)
    finally:
        if isinstance(items, AsyncGenerator) and loop.is_running:
            loop.run(_close(items))


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _close(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()


def _same(_: _Loop, value: T) -> T:
    return value


@dataclass(frozen=True, slots=True)
class _Face(Generic[T]):
    """What waits in place of something that is awaited."""

    loop: _Loop
    asynchronous: T
    """What it stands for."""


class Job(_Face[jobs.Job]):
    """See :class:`viseme.Job`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(self.asynchronous)

    @property
    def id(self) -> str:
        """The job's name, made by the edge."""
        return self.asynchronous.id

    @property
    def status(self) -> model.JobStatus:
        """The job as it was last heard of; ``refresh()`` asks again."""
        return self.asynchronous.status

    @property
    def state(self) -> model.JobState:
        """Where it stood when it was last heard of."""
        return self.asynchronous.state

    @property
    def report(self) -> model.JobReport | None:
        """What the job took, once it has succeeded."""
        return self.asynchronous.report

    def result(self) -> model.JobReport:
        """The report of a job that is over; see :meth:`viseme.Job.result`."""
        return self.asynchronous.result()

    uploaded = _waits(jobs.Job.uploaded)
    refresh = _waits(jobs.Job.refresh)
    cancel = _waits(jobs.Job.cancel)
    delete = _waits(jobs.Job.delete)
    wait = _waits(jobs.Job.wait)
    save = _waits(jobs.Job.save)
    events = _iterates(jobs.Job.events, _same)
    preview = _iterates(jobs.Job.preview, _same)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dubbed:
    """How one job of a batch ended; see :class:`viseme.Dubbed`."""

    index: int
    pair: batch.Pair
    job: Job | None
    error: Exception | None

    def result(self) -> Job:
        """The job that succeeded.

        Raises:
            VisemeError: Why none did.
        """
        if self.error is not None:
            raise self.error
        if self.job is None:
            raise ConflictError("there is neither a job nor an error")
        return self.job


def _dubbed(loop: _Loop, dubbed: batch.Dubbed) -> Dubbed:
    job = None if dubbed.job is None else Job(loop, dubbed.job)
    return Dubbed(index=dubbed.index, pair=dubbed.pair, job=job, error=dubbed.error)


class Assets(_Face[assets.Assets]):
    """The files that an edge keeps; see ``Edge.assets``."""

    __slots__ = ()

    get = _waits(assets.Assets.get)
    complete_id = _waits(assets.Assets.complete_id)
    delete = _waits(assets.Assets.delete)
    save = _waits(assets.Assets.save)
    list = _iterates(assets.Assets.list, _same)


class Webhooks(_Face[webhooks.Webhooks]):
    """What an edge tells of jobs' ends by HTTP; see ``Edge.webhooks``."""

    __slots__ = ()

    list = _iterates(webhooks.Webhooks.list, _same)
    replay = _waits(webhooks.Webhooks.replay)


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
    """Connect to an edge gateway, or to the nearest of several, by a context manager; see :func:`viseme.connect`.

    Raises:
        InvalidInputError: It is not an address, or there is none.
    """
    return Edge(
        client.connect(
            address, patience=patience, prefer=prefer, on_change=on_change, key=key, ca=ca, insecure=insecure
        )
    )


class Edge:
    """An edge gateway; see :class:`viseme.Edge`. Its calls may be made from several threads."""

    def __init__(self, edge: client.Edge) -> None:
        self.asynchronous = edge
        self._loop: _Loop | None = None

    def __enter__(self) -> Self:
        if self._loop is None:
            self._loop = _Loop()
            self._loop.run(self.asynchronous.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            try:
                loop.run(self.asynchronous.__aexit__(kind, error, trace))
            finally:
                loop.stop()

    def __repr__(self) -> str:
        return f"<viseme.sync.Edge {self.address}>"

    @property
    def loop(self) -> _Loop:
        """Where its calls are made."""
        if self._loop is None:
            raise ConflictError("use it inside `with viseme.sync.connect(...) as edge:`")
        return self._loop

    @property
    def address(self) -> str:
        """Where the edge listens."""
        return self.asynchronous.address

    @property
    def assets(self) -> Assets:
        """The files that the edge keeps."""
        return Assets(self.loop, self.asynchronous.assets)

    @property
    def webhooks(self) -> Webhooks:
        """What the edge tells of jobs' ends by HTTP."""
        return Webhooks(self.loop, self.asynchronous.webhooks)

    capabilities = _waits(client.Edge.capabilities)
    upload = _waits(client.Edge.upload)
    add = _waits(client.Edge.add)
    faces = _iterates(client.Edge.faces, _same)
    library = _iterates(client.Edge.library, _same)
    dub = _gives(client.Edge.dub, Job)
    dub_many = _iterates(client.Edge.dub_many, _dubbed)
    job = _gives(client.Edge.job, Job)
    jobs = _iterates(client.Edge.jobs, Job)
