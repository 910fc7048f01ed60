"""The order in which the chunks of one attempt are sent: what the edge waits for, then the ends, then the rest."""

from collections import deque
from collections.abc import Callable, Iterable

from shared.sdk.source import chunk_order, end_chunks


class Order:
    """Gives each chunk once.

    Args:
        count: How many chunks there are.
        doubtful: Chunks that were sent before a cut; the edge will say whether they arrived, so they come last.
        wanted: See :meth:`want`.
    """

    def __init__(self, count: int, doubtful: Iterable[int] = (), wanted: Iterable[int] = ()) -> None:
        self._doubtful = set(doubtful)
        ends = end_chunks(count)
        sure = [chunk for chunk in chunk_order(count) if chunk not in self._doubtful]
        self._ends = deque(chunk for chunk in sure if chunk in ends)
        self._bulk = deque(chunk for chunk in sure if chunk not in ends)
        self._late = deque(chunk for chunk in chunk_order(count) if chunk in self._doubtful)
        self._wanted = tuple(wanted)
        self._given: set[int] = set()

    def want(self, chunks: Iterable[int]) -> None:
        """Let these come next, in this order; they take the place of those told before."""
        self._wanted = tuple(chunks)

    def next(self, is_held: Callable[[int], bool], *, bulk: bool, doubtful: bool) -> int | None:
        """The chunk to send now.

        Args:
            is_held: Whether the edge has a chunk.
            bulk: Whether more than the ends and what is wanted may be sent.
            doubtful: Whether the edge has said what arrived before a cut.
        """

        def is_over(chunk: int) -> bool:
            return chunk in self._given or is_held(chunk)

        for chunk in self._wanted:
            if not is_over(chunk) and (doubtful or chunk not in self._doubtful):
                return self._give(chunk)
        for queue, may in ((self._ends, True), (self._bulk, bulk), (self._late, doubtful)):
            while queue and is_over(queue[0]):
                queue.popleft()
            if queue and may:
                return self._give(queue.popleft())
        return None

    @property
    def is_empty(self) -> bool:
        """Whether every chunk was given, or was held when its turn came."""
        return not (self._ends or self._bulk or self._late)

    def _give(self, chunk: int) -> int:
        self._given.add(chunk)
        return chunk
