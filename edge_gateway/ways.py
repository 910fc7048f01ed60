"""The ways from this edge to its nodes, for whoever asks where time is lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from edge_gateway.jobs.node import NodeStatus
from shared.errors import VisemeError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_QUESTIONS: Final = 5
"""So many are asked where the way is measured: the middle of the latest round trips is then of this moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A node, and how the way to it is."""

    address: str
    is_up: bool
    round_trip_s: float | None
    bits_s: float | None
    """None where that was not measured."""
    status: NodeStatus | None
    """What the node said last."""


class FarNode(Protocol):
    """A node, as far as the way to it goes."""

    is_up: bool
    last: NodeStatus | None

    @property
    def round_trip_s(self) -> float | None:
        """Seconds that its answers take; None while it does not answer."""
        ...

    @property
    def address(self) -> str:
        """Where it is, for people."""
        ...

    @property
    def up_bits_s(self) -> float | None:
        """Bits a second that the way to it carries, where that is known."""
        ...

    async def status(self) -> NodeStatus:
        """Ask how it is; a VisemeError where it does not answer."""
        ...

    async def rate(self) -> float:
        """The bits a second, measured where they are not known; a VisemeError where it does not answer."""
        ...


class Ways:
    """Looks at the ways to nodes.

    Args:
        nodes: The nodes.
    """

    def __init__(self, nodes: Sequence[FarNode]) -> None:
        self._nodes = nodes

    async def look(self, *, measure: bool) -> list[Way]:
        """How each is now; a rate that nobody knows is measured first where that is asked for."""
        return [await self._look(node, measure=measure) for node in self._nodes]

    @staticmethod
    async def _look(node: FarNode, *, measure: bool) -> Way:
        try:
            for _ in range(_QUESTIONS if measure else 1):
                await node.status()
            if measure:
                await node.rate()
        except VisemeError as error:
            _LOG.info("way to the node not measured", node=node.address, reason=error.reason, error=error.message)
        return Way(
            address=node.address,
            is_up=node.is_up,
            round_trip_s=node.round_trip_s,
            bits_s=node.up_bits_s,
            status=node.last,
        )
