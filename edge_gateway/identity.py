"""Who this edge is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_gateway.jobs.node import EngineCard


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What this edge says of itself."""

    version: str
    name: str
    region: str
    address: Callable[[], str]
    """Where it listens; known once it does."""
    engines: Callable[[], Sequence[EngineCard]]
    """The engines that the node last reported."""
