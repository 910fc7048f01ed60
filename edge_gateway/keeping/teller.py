"""Tells nodes what to forget."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from edge_gateway.keeping.forgets import Forgets
from shared.errors import DiskFullError, VisemeError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_AT_ONCE: Final = 512
"""Digests in one message: 17 kB."""
_AGAIN_S: Final = 60.0


class ForgetfulNode(Protocol):
    """A node that can be told."""

    @property
    def address(self) -> str:
        """Where it is, for people."""
        ...

    async def forget(self, digests: Iterable[bytes]) -> list[bytes] | None:
        """Have it delete what it keeps of these; gives those that it still needs.

        None where it is of an older version that cannot be told.

        Raises:
            VisemeError: it does not answer.
        """
        ...


class Teller:
    """Does it for all nodes of an edge.

    Args:
        forgets: What is to be told.
        nodes: Whom.
    """

    def __init__(self, forgets: Forgets, nodes: Sequence[ForgetfulNode]) -> None:
        self._forgets = forgets
        self._nodes = nodes

    async def run(self) -> None:
        """Tell until cancelled: at once, and again where a node did not answer or still needed something."""
        await self._forgets.prune()
        async with asyncio.TaskGroup() as tasks:
            for node in self._nodes:
                tasks.create_task(self._keep_telling(node))

    async def _keep_telling(self, node: ForgetfulNode) -> None:
        is_silent = False
        while True:
            news = self._forgets.news()
            try:
                await self.tell(node)
            except DiskFullError as error:
                _LOG.error("what a node has forgotten cannot be written down", node=node.address, error=error.message)
            except VisemeError as error:
                if not is_silent:
                    _LOG.warning("node is told later what to forget", node=node.address, error=error.message)
                is_silent = True
            else:
                is_silent = False
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S):
                    await news.wait()

    async def tell(self, node: ForgetfulNode) -> None:
        """Tell one node everything that it has not forgotten yet.

        Raises:
            VisemeError: it does not answer.
        """
        last = b""
        while digests := await self._forgets.pending(node.address, _AT_ONCE, last):
            needed = await node.forget(digests)
            if needed is None:
                _LOG.warning(
                    "node is of an older version and cannot be told what to forget; it lets go when it needs the room",
                    node=node.address,
                    files=len(digests),
                )
            await self._forgets.done(node.address, set(digests) - set(needed or ()))
            last = digests[-1]
