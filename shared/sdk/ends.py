"""The ends of any number of jobs, waited for on one event stream, which is mended when it breaks."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc

from shared.errors import DeadlineError, EdgeUnavailableError, VisemeError
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.rpc.channel import END, send
from shared.sdk import model
from shared.sdk.convert import error_from, event_from
from shared.sdk.link import Attempts, Link

EventCallback = Callable[[model.Event], None]

_PING: Final = job_pb2.SessionRequest(ping=job_pb2.Ping(nonce=1))


@dataclass(slots=True, kw_only=True)
class _Followed:
    after: int
    end: asyncio.Future[None]


class Ends:
    """Waits for ends inside ``async with``.

    Args:
        link: Where the edge is.
        on_event: Told of everything that happens to the jobs.
    """

    def __init__(self, link: Link, on_event: EventCallback | None = None) -> None:
        self._link = link
        self._on_event = on_event
        self._followed: dict[str, _Followed] = {}
        self._asks: deque[job_pb2.SessionRequest] = deque()
        self._news = asyncio.Event()
        self._heard = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def of(self, job_id: str, after: int) -> None:
        """Wait until a job is over, whose events up to this number are known.

        Raises:
            EdgeUnavailableError: The edge stayed silent for too long.
            VisemeError: What the edge said: the job is not there any more.
        """
        end = asyncio.get_running_loop().create_future()
        self._followed[job_id] = _Followed(after=after, end=end)
        self._ask(_subscribe(job_id, after))
        try:
            if self._task is not None:
                await asyncio.wait({end, self._task}, return_when=asyncio.FIRST_COMPLETED)
                if not end.done():
                    self._task.result()
            await end
        finally:
            self._followed.pop(job_id, None)
            # A session follows only so many jobs; those that are over are let go.
            self._ask(job_pb2.SessionRequest(unsubscribe=job_pb2.Unsubscribe(job_id=job_id)))

    def _ask(self, request: job_pb2.SessionRequest) -> None:
        self._asks.append(request)
        self._news.set()

    async def _run(self) -> None:
        attempts = Attempts(self._link)
        while True:
            if not self._followed:
                self._asks.clear()
                self._news.clear()
                await self._news.wait()
                continue
            try:
                try:
                    await self._converse(attempts)
                except grpc.RpcError as error:
                    raise self._link.error(error) from error
            except (EdgeUnavailableError, DeadlineError) as error:
                try:
                    await attempts.pause(error)
                except EdgeUnavailableError as last:
                    self._fail(last)
                    attempts = Attempts(self._link)
            except VisemeError as error:
                self._fail(error)

    async def _converse(self, attempts: Attempts) -> None:
        """Ask for everything anew on a fresh stream, and listen until it breaks."""
        call = self._link.jobs.Session(None)
        self._heard = False
        self._asks = deque(_subscribe(job_id, one.after) for job_id, one in self._followed.items())
        self._asks.append(_PING)
        self._news.set()
        tasks = [asyncio.create_task(self._speak(call)), asyncio.create_task(self._listen(call, attempts))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            call.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _speak(self, call: Any) -> None:
        """Send what is asked; a stream that is quiet is asked whether it is still there."""
        while True:
            self._news.clear()
            while self._asks:
                if not await send(call, self._asks.popleft()):
                    # The stream is over: whoever listens to it will hear how it ended.
                    await asyncio.Event().wait()
            try:
                async with asyncio.timeout(self._link.patience.ping_s):
                    await self._news.wait()
            except TimeoutError:
                if not self._heard:
                    message = f"the edge at {self._link.address} does not answer pings"
                    raise EdgeUnavailableError(message) from None
                self._heard = False
                self._asks.append(_PING)

    async def _listen(self, call: Any, attempts: Attempts) -> None:
        while (answer := await self._link.here(call.read())) is not END:
            self._heard = True
            attempts.progress()
            kind = answer.WhichOneof("message")
            if kind == "event":
                self._happened(answer.event)
            elif kind == "error" and answer.error.job_id in self._followed:
                _fail(self._followed[answer.error.job_id].end, error_from(answer.error.error))
        raise EdgeUnavailableError(f"the edge at {self._link.address} ended the event stream")

    def _happened(self, raw: job_pb2.Event) -> None:
        followed = self._followed.get(raw.job_id)
        if followed is None or raw.sequence <= followed.after:
            return
        followed.after = raw.sequence
        event = event_from(raw)
        if event is not None and self._on_event is not None:
            self._on_event(event)
        if isinstance(event, model.StateChanged) and event.state.is_final and not followed.end.done():
            followed.end.set_result(None)

    def _fail(self, error: VisemeError) -> None:
        for followed in self._followed.values():
            _fail(followed.end, error)
        self._followed.clear()


def _fail(end: asyncio.Future[None], error: VisemeError) -> None:
    if not end.done():
        end.set_exception(error)


def _subscribe(job_id: str, after: int) -> job_pb2.SessionRequest:
    return job_pb2.SessionRequest(subscribe=job_pb2.Subscribe(job_id=job_id, after_sequence=after))
