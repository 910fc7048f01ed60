"""What may happen to a running system: a program is killed, or a link breaks."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from tests.relay import Relay
from tests.stack import Stack


class Strike(StrEnum):
    """One thing that happens."""

    EDGE = "kill -9 of the edge"
    NODE = "kill -9 of the node"
    TRITON = "kill -9 of Triton"
    NEAR = "the clients' link to the edge breaks"
    FAR = "the edge's link to the node breaks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Striker:
    """Lets things happen."""

    stack: Stack
    near: Relay
    far: Relay

    async def strike(self, what: Strike) -> None:
        """Let one thing happen; a program that was killed is started again, and says that it is ready."""
        match what:
            case Strike.NEAR:
                self.near.reset()
            case Strike.FAR:
                self.far.reset()
            case Strike.TRITON:
                while not self.stack.tritons():  # noqa: ASYNC110 - killed just before, the node is about to start it
                    await asyncio.sleep(0.1)
                self.stack.kill("triton")
            case Strike.EDGE | Strike.NODE:
                name = "edge" if what is Strike.EDGE else "node"
                self.stack.kill(name)
                await asyncio.to_thread(self.stack.start, name)
