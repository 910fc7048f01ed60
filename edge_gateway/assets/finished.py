"""Videos that jobs have made, on their way to becoming assets."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_gateway.assets.asset import Asset, AssetKind, Manifest
from edge_gateway.assets.service import Prober
from edge_gateway.assets.store import AssetStore
from shared.media.probe import MediaInfo
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedFile:
    """A video that a job has made."""

    path: Path
    manifest: Manifest
    media: MediaInfo


class FinishedFiles:
    """Takes finished files.

    Args:
        store: The bytes.
        probe: Finds out what a file is.
        on_remove: Told the id of an asset that is gone; may block.
    """

    def __init__(self, store: AssetStore, probe: Prober, *, on_remove: Callable[[str], None] = lambda _: None) -> None:
        self._store = store
        self._probe = probe
        self._on_remove = on_remove

    async def look(self, path: Path, name: str) -> FinishedFile:
        """Find out what a finished video is, before it is kept."""
        media = await self._probe(path, "result")
        return FinishedFile(path=path, manifest=await self._store.manifest(path, name), media=media)

    async def keep(self, file: FinishedFile) -> Asset:
        """Take a finished video as an asset of kind RESULT; the file is moved. May be done again.

        Raises:
            DiskFullError: the disk has no room.
        """
        now_us = time.time_ns() // 1000
        return await self._store.take(file.path, file.manifest, AssetKind.RESULT, file.media, now_us)

    async def drop_unowned(self) -> None:
        """Delete results that belong to no job: what was cut off between becoming an asset and the job's success."""
        for asset_id in await self._store.drop_unowned_results():
            _LOG.info("result dropped", asset_id=asset_id)
            await self._remove(asset_id)

    async def finish_removals(self) -> None:
        """Delete the files of assets whose row is gone: the edge ended in between. At the start, before any come."""
        for asset_id in await self._store.going():
            _LOG.info("deletion finished", asset_id=asset_id)
            await self._remove(asset_id)

    async def _remove(self, asset_id: str) -> None:
        await asyncio.to_thread(self._on_remove, asset_id)
        await self._store.gone(asset_id)
