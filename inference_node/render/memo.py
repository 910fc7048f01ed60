"""Values that are dear to make: kept up to a limit, and made once however many ask at the same time."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Keeps the values used last.

    Args:
        limit: What the sizes of all kept values may add up to.
        size_of: The size of one value.
    """

    def __init__(self, *, limit: int, size_of: Callable[[V], int]) -> None:
        self._limit = limit
        self._size_of = size_of
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._making: dict[K, asyncio.Task[V]] = {}
        self.size = 0

    def __contains__(self, key: K) -> bool:
        return key in self._kept

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """The value of a key, made now if it is not kept. Giving up waiting does not stop others' making."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._make(key, make))
            task.add_done_callback(_look)
        return await asyncio.shield(task)

    def look(self, key: K) -> V | None:
        """The value of a key if it is kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep a value that was made elsewhere."""
        if (old := self._kept.pop(key, None)) is not None:
            self.size -= self._size_of(old)
        self._kept[key] = value
        self.size += self._size_of(value)
        while self.size > self._limit and self._kept:
            _, dropped = self._kept.popitem(last=False)
            self.size -= self._size_of(dropped)

    def forget(self, which: Callable[[K], bool]) -> None:
        """Drop the values of such keys."""
        for key in [key for key in self._kept if which(key)]:
            self.size -= self._size_of(self._kept.pop(key))

    async def _make(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        try:
            value = await make()
        finally:
            del self._making[key]
        self.put(key, value)
        return value


def _look(task: asyncio.Task[V]) -> None:
    """Look at a task's error even when everybody who waited has gone, so that asyncio does not complain of it."""
    if not task.cancelled():
        task.exception()
