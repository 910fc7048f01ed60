"""One of an edge's nodes, with what the edge has learned of it by using it."""

import time
from collections.abc import Callable
from enum import Enum
from typing import Final

from edge_gateway.jobs.node import NodeStatus
from edge_gateway.nodes import GrpcNode
from shared.errors import ResourceExhaustedError, VisemeError

_FIRST_S: Final = 1.0
_LONGEST_S: Final = 60.0
_SEGMENT_S: Final = 1.0
"""What a segment takes at a node that has not rendered any for this edge."""
_NEWEST: Final = 0.2
"""Share of the newest segment in what is known."""


class Standing(Enum):
    """Whether a node gets new streams."""

    READY = "ready"
    DOWN = "down"
    """It has not answered the last question, or its networks do not."""
    EJECTED = "ejected"
    """A stream to it has failed; it is left alone for a while."""
    DRAINING = "draining"
    """It has said that it is about to end."""


class Member:
    """A node of the pool.

    Args:
        node: The node.
        clock: Seconds, never going back.
    """

    def __init__(self, node: GrpcNode, clock: Callable[[], float] = time.monotonic) -> None:
        self.node = node
        self.streams = 0
        """Streams of this edge that are open there."""
        self._clock = clock
        self._failures = 0
        self._aside_until = 0.0
        self._segment_s = _SEGMENT_S
        self._drains_as: NodeStatus | None = None

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return self.node.address

    @property
    def standing(self) -> Standing:
        """Whether it gets new streams now."""
        if self._drains_as is not None and self._drains_as is self.node.last and self.node.is_up:
            return Standing.DRAINING
        if self._clock() < self._aside_until:
            return Standing.EJECTED
        last = self.node.last
        return Standing.READY if self.node.is_up and last is not None and last.engine_ready else Standing.DOWN

    @property
    def wait_s(self) -> float:
        """Seconds that a new segment would wait there, about: the way, and what is before it in the queue."""
        queued = self.node.last.queued_segments if self.node.last is not None else 0
        return (self.node.round_trip_s or 0.0) + self._segment_s * (queued + self.streams)

    @property
    def aside_s(self) -> float:
        """Seconds for which it is still left alone."""
        return max(0.0, self._aside_until - self._clock())

    def knows(self, engine: str) -> bool | None:
        """Whether it has an engine (any, for an empty name); None while it has never answered."""
        if self.node.last is None:
            return None
        return not engine or any(card.name == engine for card in self.node.last.engines)

    def drains(self) -> None:
        """It has said that it is about to end; that holds until it answers a question again."""
        self._drains_as = self.node.last

    def failed(self, error: VisemeError) -> None:
        """A stream ended with an error: leave the node alone, for longer each time.

        A node that is merely full is left alone for as long as it asks, and one that only wants the same call again,
        as it has dropped what the stream counts on, is not left alone at all.
        """
        if isinstance(error, ResourceExhaustedError):
            self._set_aside(error.retry_after_s or _FIRST_S)
        elif error.retry_after_s is None and not self.aside_s:
            # The several streams that one death ends must not count as several deaths.
            self._set_aside(min(_FIRST_S * 2.0**self._failures, _LONGEST_S))
            self._failures += 1

    def rendered(self, seconds: float) -> None:
        """It has rendered a segment, at which it worked for so long: what had failed is forgotten."""
        self._failures = 0
        self._segment_s += _NEWEST * (seconds - self._segment_s)

    def _set_aside(self, seconds: float) -> None:
        self._aside_until = max(self._aside_until, self._clock() + seconds)
