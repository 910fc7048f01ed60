"""Between a session's messages and the edge's own words."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Final

from edge_gateway.jobs import session as sessions
from edge_gateway.jobs.events import Skipped
from edge_gateway.jobs.job import Event
from edge_gateway.rpc import convert
from shared.errors import InvalidInputError
from shared.pb.viseme.gateway.v1 import job_pb2 as pb

_KEPT: Final = 4096
"""Events whose bytes are kept: of all jobs that run at once, about what a watcher that keeps up still has to read."""


async def session_asks(requests: AsyncIterator[pb.SessionRequest]) -> AsyncIterator[sessions.SessionAsk]:
    """What a watcher asks.

    Raises:
        InvalidInputError: a message is empty.
    """
    async for request in requests:
        match request.WhichOneof("message"):
            case "subscribe":
                yield sessions.Subscribe(job_id=request.subscribe.job_id, after=request.subscribe.after_sequence)
            case "unsubscribe":
                yield sessions.Unsubscribe(job_id=request.unsubscribe.job_id)
            case "cancel":
                yield sessions.Cancel(job_id=request.cancel.job_id)
            case "ping":
                yield sessions.Ping(nonce=request.ping.nonce)
            case _:
                raise InvalidInputError("the message is empty", field="message")


class SessionAnswers:
    """What watchers are told: an event is put into bytes once, however many watch."""

    def __init__(self) -> None:
        self._events: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def message(self, answer: sessions.SessionAnswer) -> pb.SessionResponse | bytes:
        """One message, or its bytes."""
        match answer:
            case Event():
                return self._event(answer)
            case Skipped():
                skipped = pb.Skipped(job_id=answer.job_id, progress_events=answer.progress_events)
                return pb.SessionResponse(skipped=skipped)
            case sessions.Pong():
                pong = pb.Pong(nonce=answer.nonce, time=convert.timestamp(answer.time_us))
                return pb.SessionResponse(pong=pong)
            case sessions.Refused():
                refused = pb.SessionError(job_id=answer.job_id, error=convert.job_error(answer.error))
                return pb.SessionResponse(error=refused)

    def _event(self, event: Event) -> bytes:
        # A job's id is never used again, and what happened to it under a number never changes.
        name = event.job_id, event.sequence
        data = self._events.get(name)
        if data is None:
            data = pb.SessionResponse(event=convert.event(event)).SerializeToString()
            self._events[name] = data
            if len(self._events) > _KEPT:
                self._events.popitem(last=False)
        return data
