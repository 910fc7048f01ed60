"""The files that an edge keeps."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from shared.errors import InvalidInputError, NotFoundError
from shared.pb.viseme.gateway.v1 import asset_pb2
from shared.sdk import model
from shared.sdk.convert import asset_from
from shared.sdk.download import Download, check_target
from shared.sdk.link import Link
from shared.sdk.upload import ProgressCallback

_ID_LETTERS: Final = 64
_SHORTEST_BEGINNING: Final = 6


class Assets:
    """The files that an edge keeps; ``Edge.assets`` gives it."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def get(self, asset_id: str) -> model.Asset:
        """Describe one asset.

        Raises:
            NotFoundError: There is none.
        """
        answer = await self._link.call(self._link.assets.GetAsset, asset_pb2.GetAssetRequest(asset_id=asset_id))
        return asset_from(answer.asset)

    async def list(self, *, kind: model.AssetKind | None = None) -> AsyncIterator[model.Asset]:
        """All assets, newest first.

        Args:
            kind: Only these.
        """
        wanted = asset_pb2.AssetKind.Value(f"ASSET_KIND_{kind.upper()}") if kind else asset_pb2.ASSET_KIND_UNSPECIFIED
        token = ""
        while True:
            page = await self._link.call(
                self._link.assets.ListAssets, asset_pb2.ListAssetsRequest(page_token=token, kind=wanted)
            )
            for asset in page.assets:
                yield asset_from(asset)
            token = page.next_page_token
            if not token:
                return

    async def complete_id(self, beginning: str) -> str:
        """The id of the one asset whose id begins so; a whole id is given back as it is.

        Raises:
            InvalidInputError: It is too short, or begins several.
            NotFoundError: It begins none.
        """
        if len(beginning) >= _ID_LETTERS:
            return beginning
        if len(beginning) < _SHORTEST_BEGINNING:
            text = f"write at least {_SHORTEST_BEGINNING} letters of the id, {beginning!r} may be any"
            raise InvalidInputError(text, field="asset_id")
        found = [asset.id async for asset in self.list() if asset.id.startswith(beginning)]
        if not found:
            raise NotFoundError(f"this edge has no asset whose id begins with {beginning}", field="asset_id")
        if len(found) > 1:
            raise InvalidInputError(f"{len(found)} assets have ids that begin with {beginning}", field="asset_id")
        return found[0]

    async def delete(self, asset_id: str) -> None:
        """Delete an asset that no unfinished job needs."""
        await self._link.call(self._link.assets.DeleteAsset, asset_pb2.DeleteAssetRequest(asset_id=asset_id))

    async def save(
        self, asset_id: str, path: str | os.PathLike[str], *, on_progress: ProgressCallback | None = None
    ) -> Path:
        """Write an asset to a file; it appears there whole or not at all."""
        target = Path(path)
        check_target(target)
        return await Download(self._link, asset_id, target, on_progress).run()
