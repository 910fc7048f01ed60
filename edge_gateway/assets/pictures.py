"""Small pictures of assets, made when they are first looked at and kept on disk within a limit."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol
from weakref import WeakValueDictionary

from edge_gateway.assets.asset import Asset, AssetKind
from edge_gateway.assets.service import AssetService
from edge_gateway.disk import write_atomic
from shared.errors import DiskFullError, MissingChunksError, NotFoundError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_AT_S: Final = 1.0
"""Many videos begin black: the picture is of a frame so far on, or a tenth of a short video."""
_NAME: Final = ".jpg"


class Taker(Protocol):
    """Makes a picture."""

    async def __call__(self, path: Path, at_us: int | None, field: str) -> bytes:
        """A JPEG of the frame that a file shows at a time, or of its last.

        Raises:
            InvalidInputError: it cannot be decoded.
        """
        ...


class Pictures:
    """The pictures of one edge.

    Args:
        root: Where they are kept.
        assets: What they are of.
        take: Makes one.
        limit_bytes: What all that are kept may take.
        at_once: How many may be made at once.
    """

    def __init__(self, root: Path, assets: AssetService, take: Taker, *, limit_bytes: int, at_once: int) -> None:
        self._root = root
        self._assets = assets
        self._take = take
        self._limit_bytes = limit_bytes
        self._turns = asyncio.Semaphore(at_once)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._kept = _found(root)

    async def of(self, asset_id: str) -> bytes:
        """A JPEG of an asset.

        Raises:
            NotFoundError: there is no such asset, or there are no pictures in it.
            MissingChunksError: it is not complete.
            InvalidInputError: it cannot be decoded.
        """
        asset = await self._assets.get(asset_id)
        if not asset.ready or asset.media is None:
            raise MissingChunksError("the asset is not complete yet", field="asset_id")
        if asset.kind is AssetKind.AUDIO:
            raise NotFoundError("there are no pictures in this asset", field="asset_id")
        async with self._locks.setdefault(asset_id, asyncio.Lock()):
            kept = await self._read(asset_id)
            return kept if kept is not None else await self._make(asset)

    async def still(self, path: Path) -> bytes:
        """A JPEG of the last frame of a file of this edge; it is not kept.

        Raises:
            InvalidInputError: it cannot be decoded.
        """
        async with self._turns:
            return await self._take(path, None, "job")

    def forget(self, asset_id: str) -> None:
        """An asset is gone; blocks."""
        self._kept.pop(asset_id, None)
        self._path(asset_id).unlink(missing_ok=True)

    async def _read(self, asset_id: str) -> bytes | None:
        size = self._kept.pop(asset_id, None)
        if size is None:
            return None
        self._kept[asset_id] = size  # the last now, which is dropped last
        with suppress(FileNotFoundError):
            return await asyncio.to_thread(self._path(asset_id).read_bytes)
        return None

    async def _make(self, asset: Asset) -> bytes:
        seconds = asset.media.duration_seconds if asset.media is not None else 0.0
        async with self._turns:
            data = await self._take(
                self._assets.path(asset.asset_id), round(min(_AT_S, seconds / 10) * 1e6), "asset_id"
            )
        try:
            await asyncio.to_thread(write_atomic, self._path(asset.asset_id), data)
        except DiskFullError as error:
            _LOG.warning("a picture is not kept", asset_id=asset.asset_id, error=error.message)
            return data
        self._kept[asset.asset_id] = len(data)
        try:
            await self._assets.get(asset.asset_id)
        except NotFoundError:  # deleted meanwhile
            await asyncio.to_thread(self.forget, asset.asset_id)
            raise
        await self._trim()
        return data

    async def _trim(self) -> None:
        """Drop those that nobody has looked at for longest."""
        excess = sum(list(self._kept.values())) - self._limit_bytes
        for asset_id, size in list(self._kept.items()):
            if excess <= 0:
                return
            await asyncio.to_thread(self.forget, asset_id)
            excess -= size

    def _path(self, asset_id: str) -> Path:
        return self._root / f"{asset_id}{_NAME}"


def _found(root: Path) -> dict[str, int]:
    """The sizes of what was kept before, the oldest first."""
    there = sorted((path.stat().st_mtime_ns, path) for path in root.glob(f"*{_NAME}"))
    return {path.name.removesuffix(_NAME): path.stat().st_size for _, path in there}
