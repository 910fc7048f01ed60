"""Children that read files which are still being uploaded: their questions for bytes are answered as those come."""

import asyncio
from typing import Any

from edge_gateway.assets.growth import Source
from shared.errors import DeadlineError
from shared.media.growing import WANT
from shared.media.sandbox import Child, Message


class FedChild:
    """A child at work on a source. Whoever receives from it need not know that it asks for bytes.

    Args:
        child: The child.
        source: What it reads.
        answer_s: Seconds that it may take from one answer to its next message; None for any.
    """

    def __init__(self, child: Child, source: Source, answer_s: float | None = None) -> None:
        self._child = child
        self._source = source
        self._answer_s = answer_s

    async def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """See :meth:`shared.media.sandbox.Child.send`."""
        await self._child.send(header, payload)

    async def receive(self) -> Message | None:
        """See :meth:`shared.media.sandbox.Child.receive`; waits as long as the child waits for bytes.

        Raises:
            DeadlineError: the child took too long.
        """
        while (message := await self._next()) is not None and message.header.get("kind") == WANT:
            await self._child.send(await self._source.answer(message.header))
        return message

    async def _next(self) -> Message | None:
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._child.receive()
        except TimeoutError:
            message = f"looking at the file took longer than {self._answer_s:g} s"
            raise DeadlineError(message, field="video") from None
