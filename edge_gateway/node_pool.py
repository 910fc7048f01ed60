"""The nodes of an edge, as one: a stream goes to the one where a segment would wait least, and past those that fail."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from edge_gateway.jobs.node import EngineCard, FromNode, Meter, NodeStatus, RenderedPiece, RenderStream, ToNode
from edge_gateway.node_member import Member, Standing
from edge_gateway.nodes import GrpcNode
from shared.errors import DeadlineError, ResourceExhaustedError, UnavailableError, VisemeError
from shared.rpc.address import Address
from shared.rpc.tls import Trust
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_OTHERS_S: Final = 0.5
"""Once one node has told how it is, the others have so long to do the same."""


_SILENT_S: Final = 2.0
"""For so long a stream must have been silent before it is given up."""

_DIGITS: Final = 2
"""Waits that differ by less than hundredths of a second do not differ: round trips in one rack are that uneven."""


class NodePool:
    """The nodes; see :class:`edge_gateway.jobs.node.InferenceNode`.

    A single node is always the one that is taken, however it stands: there is none to go to.

    Args:
        nodes: The nodes; among equals the first is taken.
    """

    def __init__(self, nodes: Iterable[GrpcNode]) -> None:
        self._members = tuple(Member(node) for node in nodes)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        addresses: Sequence[Address],
        *,
        trust: Trust | None = None,
        on_up: Callable[[int], None] = lambda _: None,
        on_down: Callable[[int], None] = lambda _: None,
        on_answer: Callable[[float], None] = lambda _: None,
    ) -> AsyncIterator["NodePool"]:
        """Connect to each on its first call, disconnect at the end; see :meth:`GrpcNode.open`."""
        async with AsyncExitStack() as stack:
            nodes = [
                await stack.enter_async_context(
                    GrpcNode.open(address, trust=trust, on_up=on_up, on_down=on_down, on_answer=on_answer)
                )
                for address in addresses
            ]
            yield cls(nodes)

    @property
    def members(self) -> tuple[Member, ...]:
        """The nodes, with what was learned of them."""
        return self._members

    @property
    def nodes(self) -> tuple[GrpcNode, ...]:
        """The nodes."""
        return tuple(member.node for member in self._members)

    @property
    def address(self) -> str:
        """Where they are, for people."""
        return ", ".join(member.address for member in self._members)

    @property
    def is_up(self) -> bool:
        """Whether any answered the last question."""
        return any(member.node.is_up for member in self._members)

    @property
    def round_trip_s(self) -> float | None:
        """Seconds that the answers of the node take that would be taken now; None while it does not answer."""
        return self._pick().node.round_trip_s

    @property
    def up_bits_s(self) -> float | None:
        """Bits a second that the way to that one carries, where that is known."""
        return self._pick().node.up_bits_s

    def engines(self) -> tuple[EngineCard, ...]:
        """The engines that the nodes last reported; the default is that of the first node."""
        return _engines(member.node.last for member in self._members if member.node.last is not None)

    def counts(self) -> dict[Standing, int]:
        """How many nodes stand how."""
        standings = [member.standing for member in self._members]
        return {standing: standings.count(standing) for standing in Standing}

    async def status(self) -> NodeStatus:
        """Ask all how they are; those that are slow after one has answered count as they stood.

        Raises:
            NodeUnavailableError: none answers.
        """
        asking = {asyncio.ensure_future(member.node.status()) for member in self._members}
        try:
            waiting, error = set(asking), None
            timeout: float | None = None
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting,
                    timeout=timeout,
                    return_when=asyncio.FIRST_COMPLETED if timeout is None else "ALL_COMPLETED",
                )
                if timeout is not None:
                    break
                for task in done:
                    if (failed := task.exception()) is None:
                        timeout = _OTHERS_S
                    elif not isinstance(failed, VisemeError):
                        raise failed
                    else:
                        error = failed
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        told = [member.node.last for member in self._members if member.node.is_up and member.node.last is not None]
        if error is not None and not told:
            raise error
        first = told[0]
        return NodeStatus(
            version=first.version,
            name=", ".join(status.name for status in told),
            engine_ready=any(status.engine_ready for status in told),
            engines=_engines(told),
            queued_segments=sum(status.queued_segments for status in told),
            queue_limit=sum(status.queue_limit for status in told),
        )

    async def watch(self, interval_s: float) -> None:
        """Ask each how it is from time to time, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for member in self._members:
                tasks.create_task(member.node.watch(interval_s, partial(self._give_up, member)))

    def _give_up(self, member: Member) -> None:
        """End the streams to a node that does not answer and has not said anything on them either, if others can go on.

        TCP alone would wait for half a minute: a cut link may come back. Where there is no other node, that is right.
        """
        heard_at = member.node.heard_at()
        if heard_at is not None and time.monotonic() - heard_at >= _SILENT_S and self.has_another(member.address):
            member.node.renew()

    async def rate(self) -> float:
        """Bits a second that the way to the node that would be taken now carries.

        Raises:
            NodeUnavailableError: it does not answer.
        """
        return await self._pick().node.rate()

    def has_another(self, address: str) -> bool:
        """Whether another node than that one could take a stream at once."""
        return any(member.standing is Standing.READY for member in self._members if member.address != address)

    @asynccontextmanager
    async def render(self, meter: Meter, engine: str = "") -> AsyncIterator[RenderStream]:
        """Open a ``Render`` call where a segment would wait least; a node with which it fails is left alone then."""
        member = self._pick(engine)
        member.streams += 1
        drains = False
        try:
            async with member.node.render(meter) as stream:
                try:
                    yield _Watched(stream, member)
                finally:
                    drains = stream.is_draining
        except (UnavailableError, ResourceExhaustedError, DeadlineError) as error:
            if not drains:  # to end in good order is no failure
                self._fail(member, error)
            raise
        finally:
            member.streams -= 1

    def _fail(self, member: Member, error: VisemeError) -> None:
        was = member.standing
        member.failed(error)
        if len(self._members) > 1 and was is not Standing.EJECTED and member.standing is Standing.EJECTED:
            _LOG.warning(
                "node is left alone",
                node=member.address,
                seconds=round(member.aside_s, 1),
                reason=error.reason,
                error=error.message,
            )

    def _pick(self, engine: str = "") -> Member:
        """The node for the next stream.

        A node that is known not to have the engine would refuse the job for good, so it is taken only where no other
        could ever have it.
        """
        able = [member for member in self._members if member.knows(engine) is not False] or self._members
        return min(able, key=lambda member: (_RANKS[member.standing], member.aside_s, round(member.wait_s, _DIGITS)))


_RANKS: Final = {Standing.READY: 0, Standing.DOWN: 1, Standing.EJECTED: 2, Standing.DRAINING: 3}


class _Watched:
    """A stream whose node is judged by what comes of it."""

    def __init__(self, stream: RenderStream, member: Member) -> None:
        self._stream = stream
        self._member = member

    @property
    def address(self) -> str:
        return self._member.address

    @property
    def is_draining(self) -> bool:
        return self._stream.is_draining

    async def send(self, message: ToNode) -> None:
        await self._stream.send(message)

    async def receive(self) -> FromNode | None:
        message = await self._stream.receive()
        if self._stream.is_draining:
            self._member.drains()
        if isinstance(message, RenderedPiece) and message.card is not None:
            self._member.rendered(message.card.infer_s)
        return message

    async def end(self) -> None:
        await self._stream.end()


def _engines(told: Iterable[NodeStatus]) -> tuple[EngineCard, ...]:
    """All engines, each once as the first node has it; a default of a later node is none beside the first's."""
    cards: dict[str, EngineCard] = {}
    for status in told:
        has_default = any(card.is_default for card in cards.values())
        for card in status.engines:
            if card.name not in cards:
                cards[card.name] = _without_default(card) if has_default and card.is_default else card
    return tuple(cards.values())


def _without_default(card: EngineCard) -> EngineCard:
    return EngineCard(
        name=card.name, summary=card.summary, is_default=False, crop_px=card.crop_px, crop_scale=card.crop_scale
    )
