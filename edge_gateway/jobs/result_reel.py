"""The preview of a job that has succeeded: the same fragments, found in its result."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

from edge_gateway.assets.service import AssetService
from edge_gateway.disk import write_atomic
from edge_gateway.fragment import Fragment
from edge_gateway.jobs.reel import PreviewInit
from shared.media.sandbox import Message

_CARD = "preview.json"
_RECORDS = "preview.records"


class ResultReel:
    """The fragments of one result. Made by :meth:`ResultReels.open`.

    Args:
        init: What goes before the first.
        path: The result.
        records: The file with the fragments' records.
        sizes: Bytes of each record.
    """

    def __init__(self, init: PreviewInit, path: Path, records: Path, sizes: list[int]) -> None:
        self.init = init
        self.path = path
        self._records = records
        self._ends = list(accumulate(sizes, initial=0))

    @property
    def count(self) -> int:
        """How many fragments there are."""
        return len(self._ends) - 1

    async def fragment(self, index: int) -> Fragment:
        """A fragment below ``count``."""
        return Fragment.of(await asyncio.to_thread(self._read, self._ends[index], self._ends[index + 1]))

    def _read(self, begin: int, end: int) -> bytes:
        with self._records.open("rb") as file:
            file.seek(begin)
            return file.read(end - begin)


class ResultReels:
    """The previews of results; each is looked through once, when first somebody watches it.

    Args:
        assets: Where results are.
        cut: Finds the fragments of a file and writes their records to another.
    """

    def __init__(self, assets: AssetService, cut: Callable[[Path, Path], Awaitable[Message]]) -> None:
        self._assets = assets
        self._cut = cut
        self._cutting = asyncio.Lock()

    async def open(self, asset_id: str) -> ResultReel:
        """The preview of a result.

        Raises:
            NotFoundError: it was deleted.
        """
        await self._assets.get(asset_id, "job_id")
        card, records = (self._assets.beside(asset_id, name) for name in (_CARD, _RECORDS))
        told = await asyncio.to_thread(_told, card)
        if told is None:
            async with self._cutting:
                told = await asyncio.to_thread(_told, card) or await self._look(asset_id, card, records)
        return ResultReel(PreviewInit.of(told["init"]), self._assets.path(asset_id), records, told["record_bytes"])

    async def _look(self, asset_id: str, card: Path, records: Path) -> dict[str, Any]:
        part = records.with_name(records.name + ".part")
        message = await self._cut(self._assets.path(asset_id), part)
        init = PreviewInit(mime_type=str(message.header["mime_type"]), data=message.payload)
        told = {"init": init.to_json(), "record_bytes": [int(size) for size in message.header["record_bytes"]]}
        await asyncio.to_thread(part.replace, records)
        await asyncio.to_thread(write_atomic, card, json.dumps(told).encode())
        return told


def _told(card: Path) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads(card.read_bytes())
    except FileNotFoundError:
        return None
    return told
