"""Orders that wait: one bounded queue for all jobs, served in turn."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class Ticket(Protocol):
    """Something that waits on behalf of an owner."""

    @property
    def owner(self) -> Hashable:
        """Whose turn it takes."""
        ...


T = TypeVar("T", bound=Ticket)


class FairQueue(Generic[T]):
    """A queue in which owners take turns, however many tickets each has.

    Args:
        limit: Tickets that may wait in all.
    """

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        self._lanes: OrderedDict[Hashable, deque[T]] = OrderedDict()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def offer(self, ticket: T) -> bool:
        """Let a ticket wait; False when the queue is full."""
        if len(self) >= self.limit:
            return False
        self._lanes.setdefault(ticket.owner, deque()).append(ticket)
        self._filled.set()
        return True

    def ahead(self, ticket: T) -> int:
        """How many tickets will be taken before this one, as things stand."""
        own = self._lanes[ticket.owner]
        place = own.index(ticket)
        total = place
        is_before = True
        for owner, lane in self._lanes.items():
            if owner == ticket.owner:
                is_before = False
                continue
            total += min(len(lane), place + 1 if is_before else place)
        return total

    async def take(self) -> T:
        """Take the next ticket of the owner whose turn it is, waiting for one."""
        while not self._lanes:
            self._filled.clear()
            await self._filled.wait()
        owner, lane = next(iter(self._lanes.items()))
        ticket = lane.popleft()
        if lane:
            self._lanes.move_to_end(owner)
        else:
            del self._lanes[owner]
        return ticket

    def drop(self, owner: Hashable) -> int:
        """Remove all tickets of an owner; says how many there were."""
        return len(self._lanes.pop(owner, ()))
