"""The memory that all uploads share: while it is full, nobody begins another chunk."""

import asyncio
from collections import deque

from shared import digest


class Room:
    """Counts the bytes of uploads that wait in memory for the disk.

    Whoever has begun a chunk may end it, so that those who hold the memory are those who come to give it back.

    Args:
        limit_bytes: From how many bytes on it is full.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.taken_bytes = 0
        """How many bytes wait now."""

    @property
    def is_full(self) -> bool:
        """Whether no more chunks may be begun."""
        return self.taken_bytes >= self._limit_bytes

    async def free(self) -> None:
        """Wait until there is room for a chunk; those who came first go first."""
        while self.is_full:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self.change(0)  # it may have been this one's turn
                raise

    def change(self, by_bytes: int) -> None:
        """More bytes wait than before, or fewer."""
        self.taken_bytes += by_bytes
        # As many as there is room for: all at once would fill it many times over.
        chunks = (self._limit_bytes - self.taken_bytes + digest.CHUNK_BYTES - 1) // digest.CHUNK_BYTES
        while chunks > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                chunks -= 1
