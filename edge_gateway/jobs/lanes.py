"""How many jobs run at once on the whole edge, however many tenants it has; whoever runs the fewest goes first."""

from collections.abc import Callable


class Lanes:
    """The lanes of an edge.

    Args:
        count: How many there are.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._members: list[Lane] = []

    def join(self, most: Callable[[], int], wake: Callable[[], None]) -> "Lane":
        """A tenant's part in them.

        Args:
            most: Gives how many it may have at once; 0 for all.
            wake: Called when it may try again.
        """
        lane = Lane(self, most, wake)
        self._members.append(lane)
        return lane

    def take(self, lane: "Lane") -> bool:
        """Take a lane, unless none is free or another waits that has fewer."""
        first = min((one for one in self._members if one.waits), key=lambda one: one.taken, default=None)
        if self._free < 1 or (first is not None and first is not lane and first.taken < lane.taken):
            return False
        self._free -= 1
        return True

    def give(self) -> None:
        """Give a lane back."""
        self._free += 1
        self.offer()

    def offer(self) -> None:
        """Have whoever comes next try again."""
        if self._free:
            waiting = [one for one in self._members if one.waits]
            if waiting:
                min(waiting, key=lambda one: one.taken).wake()


class Lane:
    """The part that one tenant has in the lanes; made by :meth:`Lanes.join`."""

    def __init__(self, lanes: Lanes, most: Callable[[], int], wake: Callable[[], None]) -> None:
        self._lanes = lanes
        self._most = most
        self.wake = wake
        self.taken = 0
        """Jobs of this tenant that run."""
        self.waits = False
        """Whether it has a job that found no lane."""

    def take(self) -> bool:
        """Take a lane for a job that could run."""
        most = self._most()
        if most and self.taken >= most:
            self.rest()
            return False
        if not self._lanes.take(self):
            self.waits = True
            return False
        self.taken += 1
        return True

    def give(self) -> None:
        """Give the lane of a job back."""
        self.taken -= 1
        self._lanes.give()

    def rest(self) -> None:
        """No job waits for a lane any more."""
        if self.waits:
            self.waits = False
            self._lanes.offer()
