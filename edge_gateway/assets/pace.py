"""How long an upload waits for its client: not for one that says nothing, nor for one that hardly says anything."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.errors import DeadlineError

T = TypeVar("T")


class Pace:
    """Waits for a client, within limits. Time in which we do not read, as the disk is slow, is not the client's.

    Args:
        idle_s: Seconds for which it may say nothing.
        progress_s: Seconds within which it comes further at least.
        progress_bytes: By how many bytes it does.
        clock: Seconds, never going back.
    """

    def __init__(self, *, idle_s: float, progress_s: float, progress_bytes: int, clock: Callable[[], float]) -> None:
        self._idle_s = idle_s
        self._progress_s = progress_s
        self._progress_bytes = progress_bytes
        self._clock = clock
        self._since = clock()
        self._got = 0

    def waited(self) -> None:
        """Begin to count anew: it may have been us who were slow."""
        self._since = self._clock()
        self._got = 0

    def got(self, size: int) -> None:
        """So many bytes came."""
        self._got += size
        if self._got >= self._progress_bytes:
            self.waited()

    async def wait(self, message: Awaitable[T]) -> T:
        """What the client says next; count its bytes by :meth:`got`.

        Raises:
            DeadlineError: it said nothing for too long, or too little.
        """
        left = self._since + self._progress_s - self._clock()
        try:
            async with asyncio.timeout(max(0.0, min(self._idle_s, left))):
                return await message
        except TimeoutError:
            if left < self._idle_s:
                text = f"only {self._got} bytes were sent in {self._progress_s:g} s; go on where the upload is"
                raise DeadlineError(text, limit="upload_progress_s") from None
            text = f"nothing was sent for {self._idle_s:g} s; go on where the upload is"
            raise DeadlineError(text, limit="upload_idle_s") from None
