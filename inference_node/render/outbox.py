"""What a stream still has to say, in order."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Outbox(Generic[T]):
    """Replies on their way to one stream.

    What is rendered is bounded by who orders it and never waits to be put in; whoever answers what the peer sends
    waits for :meth:`room`, so that a peer that does not read is not read from.

    Args:
        limit: Replies from which on there is no room.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[T] = deque()
        self._closed = False
        self._error: BaseException | None = None
        self._wake: set[asyncio.Future[None]] = set()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be said."""
        return self._closed

    def put(self, reply: T) -> None:
        """Add a reply; dropped when nobody listens any more."""
        if not self._closed:
            self._waiting.append(reply)
            self._notify()

    def close(self, error: BaseException | None = None) -> None:
        """End: with an error at once, without one after what waits."""
        if self._closed:
            return
        self._closed = True
        self._error = error
        if error is not None:
            self._waiting.clear()
        self._notify()

    async def get(self) -> T | None:
        """The next reply; None at the end.

        Raises:
            BaseException: the error with which it was closed.
        """
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if self._closed:
                return None
            await self._change()
        reply = self._waiting.popleft()
        self._notify()
        return reply

    async def room(self) -> None:
        """Wait until fewer replies wait than may."""
        while len(self._waiting) >= self._limit and not self._closed:
            await self._change()

    def _notify(self) -> None:
        for waiter in self._wake:
            if not waiter.done():
                waiter.set_result(None)
        self._wake.clear()

    async def _change(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wake.add(waiter)
        try:
            await waiter
        finally:
            self._wake.discard(waiter)
