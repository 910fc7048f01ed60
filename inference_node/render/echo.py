"""What an edge sends to measure the link goes back as it came."""

from collections.abc import AsyncIterator
from typing import Final

from shared.errors import LimitExceededError

MEASURE_BYTES: Final = 4 << 20
"""What one measurement may take: twice what an edge sends at most."""
FILLER_BYTES: Final = 64 << 10
"""What one piece of it may have."""


async def echoed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give back every piece; the next is not read before the last has gone.

    Raises:
        LimitExceededError: a piece, or all together, are beyond the limit.
    """
    total = 0
    async for piece in pieces:
        total += len(piece)
        if len(piece) > FILLER_BYTES:
            message = f"A piece of a measurement has {len(piece)} bytes; {FILLER_BYTES} may be."
            raise LimitExceededError(message, field="filler", limit="filler_bytes")
        if total > MEASURE_BYTES:
            message = f"A measurement takes more than {MEASURE_BYTES} bytes."
            raise LimitExceededError(message, field="filler", limit="measure_bytes")
        yield piece
