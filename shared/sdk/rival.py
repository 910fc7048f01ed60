"""Another client that uploads the same file: it is watched through the edge, and followed rather than fought."""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from shared.digest import chunk_count
from shared.errors import NotFoundError
from shared.pb.viseme.gateway.v1 import asset_pb2
from shared.sdk import model
from shared.sdk.convert import asset_from, chunks_from
from shared.sdk.link import Link

_GROWTH: Final = 2.0
_MOST_GROWTH: Final = 32.0
_LOOKS: Final = 8
"""Looks at the asset within the time that the other may stand still."""

_LONGEST_LOOK_S: Final = 2.0


class Rival:
    """The client that put this one out, as the newer one does.

    Two must not put each other out for ever. So the one that was put out lets the other go on as long as it comes
    further, and takes the upload over only after it has stood still for ``Patience.takeover_s``: longer each time, as a
    thin link may need long for one chunk, and never for the same time as the other.

    Args:
        link: To the edge.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._clock = asyncio.get_running_loop().time
        self._growth = 1.0

    async def outcome(self, asset_id: str, told: Callable[[set[int]], None]) -> model.Asset | None:
        """Wait for the asset; None when the upload is ours to go on with.

        Args:
            asset_id: What the file becomes.
            told: Told the chunks that the edge has, whenever it was asked.

        Raises:
            EdgeUnavailableError: The edge stayed silent for too long.
        """
        quiet_s = self._link.patience.takeover_s * self._growth * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        self._growth = min(_MOST_GROWTH, self._growth * _GROWTH)
        before: int | None = None
        since = self._clock()
        while self._clock() - since < quiet_s:
            try:
                request = asset_pb2.GetAssetRequest(asset_id=asset_id)
                answer = await self._link.call(self._link.assets.GetAsset, request)
            except NotFoundError:
                return None  # the other does not know its id yet, or has another file
            if answer.asset.state == asset_pb2.ASSET_STATE_READY:
                return asset_from(answer.asset)
            held = set(chunks_from(answer.held, chunk_count(answer.asset.size_bytes)))
            if before is not None and len(held) > before:
                since = self._clock()
            before = len(held)
            told(held)
            await asyncio.sleep(min(_LONGEST_LOOK_S, quiet_s / _LOOKS))
        return None
