"""What can be done with libraries: list them, and make what lies there an asset."""

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final

from edge_gateway.assets.asset import Asset
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.service import AssetService
from edge_gateway.library.bring import Bringing, BringProgress, Clock
from edge_gateway.library.catalog import LibraryCatalog
from edge_gateway.library.name import PATH_BYTES, LibraryName, check_path, is_library, read_name
from edge_gateway.library.place import Entry, Place
from edge_gateway.paging import page_size
from shared.errors import ConflictError, InvalidInputError, NotFoundError, ResourceExhaustedError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

_PULSE_S: Final = 15.0
"""Who waits is told so at least this often."""

_MARK: Final = b"library1:"


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFile:
    """A file of a library, as a list shows it."""

    name: LibraryName
    size_bytes: int
    modified_us: int
    asset_id: str
    """What it is, where it was brought and has not changed since; empty otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryLimits:
    """How much is brought at once, and how long a file that is written is waited for."""

    at_once: int
    queue: int
    """Files that may be brought or wait for that."""
    settle_s: float
    patience_s: float


class _Work:
    """One bringing, and how many wait for it."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Asset] | None = None
        self.progress = BringProgress(waiting_for="its turn")
        self.waiters = 0
        self.news = asyncio.Event()
        """Set, and replaced, whenever something is new."""

    def tell(self, progress: BringProgress) -> None:
        """Note how far it is."""
        self.progress = progress
        self.wake()

    def wake(self) -> None:
        """Let all who wait look again."""
        news, self.news = self.news, asyncio.Event()
        news.set()


class Libraries:
    """The libraries of an edge.

    Args:
        places: Where they are, by their names.
        catalog: Which assets their files are.
        assets: Who takes their files.
        asset_rows: The rows of assets.
        limits: What is refused.
        clock: The time.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        catalog: LibraryCatalog,
        assets: AssetService,
        asset_rows: Catalog,
        *,
        limits: LibraryLimits,
        clock: Clock | None = None,
    ) -> None:
        self._places = dict(sorted(places.items()))
        self._catalog = catalog
        self._assets = assets
        self._asset_rows = asset_rows
        self._limits = limits
        self._clock = clock or Clock()
        self._turns = asyncio.Semaphore(limits.at_once)
        self._works: dict[LibraryName, _Work] = {}

    @property
    def names(self) -> list[str]:
        """What the libraries are called."""
        return list(self._places)

    async def page(self, library: str, folder: str, size: int, token: str) -> tuple[list[LibraryFile], str]:
        """Files of a library by their paths, those below a folder alone, and the token of the next page.

        Raises:
            NotFoundError: there is no such library.
            InvalidInputError: the folder or the token is none.
            LimitExceededError: a folder has too many entries.
            UnavailableError: the library cannot be read.
        """
        place = self._place(library, "library")
        below = folder.strip("/")
        if below:
            check_path(below, "prefix")
        count = page_size(size)
        found = await place.page(below, _read_token(token), count + 1)
        entries, more = found[:count], len(found) > count
        known = await self._catalog.known(library, entries)
        files = [
            LibraryFile(
                name=LibraryName(library=library, path=entry.path),
                size_bytes=entry.size_bytes,
                modified_us=entry.modified_us,
                asset_id=known.get(entry.path, ""),
            )
            for entry in entries
        ]
        return files, _write_token(entries[-1].path) if more else ""

    async def known(self, text: str, field: str) -> Asset:
        """The asset that a name stands for, without reading the file.

        Raises:
            InvalidInputError: it is no name.
            NotFoundError: there is no such library or file.
            ConflictError: the file was not added, or has changed since.
            UnavailableError: the library cannot be read.
        """
        name = read_name(text, field)
        try:
            entry = await self._place(name.library, field).look(name.path)
        except NotFoundError as error:
            raise NotFoundError(f"{name}: {error.message}", field=field) from error
        asset = await self._find(name, entry)
        if asset is None:
            message = f"{name} was not added yet, or has changed since; add it first (AddAsset, `viseme assets add`)"
            raise ConflictError(message, field=field)
        return asset

    async def add(self, text: str, field: str = "name") -> AsyncGenerator[BringProgress | Asset, None]:
        """Make a file an asset: says how far it is, and at last what it is; at once where it was added before.

        Whoever asks for a file that is being brought waits for the same work; it ends when nobody waits any more.

        Raises:
            InvalidInputError: it is no name, or the file is not media or beyond a limit.
            NotFoundError: there is no such library or file.
            ConflictError: the file is being written.
            ResourceExhaustedError: too many files wait, or the disk is full.
            UnavailableError: the library cannot be read.
        """
        name = read_name(text, field)
        place = self._place(name.library, field)
        try:
            asset = await self._find(name, await place.look(name.path))
        except NotFoundError as error:
            raise NotFoundError(f"{name}: {error.message}", field=field) from error
        if asset is not None:
            yield asset
            return
        work = self._work(name, place)
        work.waiters += 1
        try:
            async with aclosing(_follow(work)) as following:
                async for told in following:
                    yield told
        finally:
            work.waiters -= 1
            if not work.waiters:
                await self._end(name, work)

    def _place(self, library: str, field: str) -> Place:
        """A library by its name. Whoever may use which libraries is to be asked here: every call comes through it."""
        place = self._places.get(library) if is_library(library) else None
        if place is None:
            there = ", ".join(self._places) or "none"
            raise NotFoundError(f"this edge has no such library; it has: {there}", field=field)
        return place

    async def _find(self, name: LibraryName, entry: Entry) -> Asset | None:
        """The asset that a file is, if it is here and the file is unchanged; it counts as used now."""
        asset_id = (await self._catalog.known(name.library, [entry])).get(entry.path)
        if asset_id is None:
            return None
        try:
            return await self._assets.get(asset_id)
        except NotFoundError:
            return None

    def _work(self, name: LibraryName, place: Place) -> _Work:
        work = self._works.get(name)
        if work is not None:
            return work
        if len(self._works) >= self._limits.queue:
            message = f"{self._limits.queue} files of libraries are being brought or wait; try again later"
            raise ResourceExhaustedError(message, limit="library_queue", retry_after_s=self._limits.settle_s)
        work = self._works[name] = _Work()
        work.task = asyncio.create_task(self._bring(name, place, work))
        work.task.add_done_callback(lambda _: work.wake())
        return work

    async def _end(self, name: LibraryName, work: _Work) -> None:
        """Nobody waits any more: what is done is done, what is not goes on when somebody asks again."""
        if self._works.get(name) is work:
            del self._works[name]
        if work.task is not None:
            work.task.cancel()
            await asyncio.gather(work.task, return_exceptions=True)

    async def _bring(self, name: LibraryName, place: Place, work: _Work) -> Asset:
        async with self._turns:
            bringing = Bringing(
                name=name,
                place=place,
                assets=self._assets,
                catalog=self._asset_rows,
                clock=self._clock,
                settle_s=self._limits.settle_s,
                patience_s=self._limits.patience_s,
                tell=work.tell,
            )
            entry, asset = await bringing.run()
        if not await self._catalog.note(name, entry.stamp, asset.asset_id):
            raise ConflictError(f"{name} was deleted as soon as it was added; add it again", field="name")
        _LOG.info("file of a library added", name=str(name), asset_id=asset.asset_id, size_bytes=asset.size_bytes)
        return asset


async def _follow(work: _Work) -> AsyncGenerator[BringProgress | Asset, None]:
    """How far a bringing is whenever that changes, only the newest where it is faster than the reader; then its end."""
    told: BringProgress | None = None
    while work.task is not None and not work.task.done():
        if work.progress is told:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PULSE_S):
                    await work.news.wait()
        told = work.progress
        yield told
    if work.task is not None:
        yield work.task.result()


def _write_token(path: str) -> str:
    return base64.urlsafe_b64encode(_MARK + path.encode()).decode().rstrip("=")


def _read_token(token: str) -> str:
    """The path after which a page begins; empty for the first page."""
    if not token:
        return ""
    wrong = InvalidInputError("this is no page token of this library", field="page_token")
    if len(token) > 2 * PATH_BYTES:
        raise wrong
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        path = text.removeprefix(_MARK).decode()
        check_path(path, "page_token")
    except (binascii.Error, ValueError, InvalidInputError):
        raise wrong from None
    if not text.startswith(_MARK):
        raise wrong
    return path
