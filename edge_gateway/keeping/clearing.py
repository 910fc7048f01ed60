"""Everything that an edge on a folder would let go of, or had better: found without an edge, and cleared away."""

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.store import AssetStore
from edge_gateway.assets.stream_catalog import StreamCatalog
from edge_gateway.database import Database
from edge_gateway.disk import remove_tree
from edge_gateway.jobs.faces import crop_digests, forget_faces
from edge_gateway.jobs.shelf import video_of
from edge_gateway.jobs.sqlite import SqliteJobs
from edge_gateway.keeping.forgets import Forgets
from edge_gateway.keeping.holdings import read_holdings
from edge_gateway.keeping.plan import KeepTimes, Kind, due
from edge_gateway.keeping.quotas import unname
from edge_gateway.keeping.strays import Stray, find_strays, lost_files, read_known, remove_stray, size_on_disk
from edge_gateway.webhooks.outbox import Outbox, strike_out
from shared.errors import ConflictError, NotFoundError

_PICTURE: Final = ".jpg"


class Sort(StrEnum):
    """What is cleared away."""

    JOB = "job"
    """A job that is over, with its events and its result."""
    RESULT = "result"
    """A finished video; its job stays."""
    ASSET = "asset"
    """A file that was brought."""
    UPLOAD = "upload"
    """One that was not finished."""
    FACE = "face"
    """A face that was cut."""
    WEBHOOK = "webhook"
    """What was told of a job's end, or given up."""
    FILE = "file"
    """A file, or folder, of which no row knows."""
    ROW = "row"
    """A file that is said to be here and is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """One thing that would go."""

    sort: Sort
    name: str
    """Its id, or its path in the folder."""
    size_bytes: int = 0
    """What it takes, or says that it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcTimes:
    """Seconds for which things stay; 0 is for ever, but for uploads."""

    keep: KeepTimes
    upload_s: float
    tus_s: float
    webhook_s: float


def find(
    connection: sqlite3.Connection, data: Path, times: GcTimes, *, settled_s: float = 0.0, now_s: float | None = None
) -> list[Find]:
    """What would go of a folder; changes nothing.

    Args:
        connection: Its database.
        data: The folder.
        times: How long what stays.
        settled_s: Files without a row count if they were not changed for so long: on a running edge some are made.
        now_s: The time of day, in seconds since 1970; the clock's where it is not given.
    """
    now_s = time.time() if now_s is None else now_s
    needed = _Needed(connection)
    found = [*_held(connection, times.keep, needed), *_uploads(connection, times, needed)]
    found += _faces(data, times.keep.face_s, needed, now_s)
    told = connection.execute(
        "SELECT webhook_id FROM webhooks WHERE state != 'waiting' AND created_us < ?",
        (round((now_s - times.webhook_s) * 1e6),),
    )
    found += [Find(sort=Sort.WEBHOOK, name=row[0]) for row in told]
    for stray in find_strays(data, read_known(connection)):
        with suppress(FileNotFoundError):
            if stray.path.lstat().st_mtime <= now_s - settled_s:
                found.append(Find(sort=Sort.FILE, name=str(stray.path.relative_to(data)), size_bytes=stray.size_bytes))
    going = {one.name for one in found}
    lost = [one for one in lost_files(connection, data) if one not in going and not needed.has(one)]
    return found + [Find(sort=Sort.ROW, name=one) for one in lost]


class _Needed:
    """What unfinished jobs need."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            "SELECT video_asset_id, speech_asset_id, background_asset_id, speakers FROM jobs"
            " WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
        )
        self._told = [" ".join(row) for row in rows]

    def has(self, name: str) -> bool:
        return any(name in told for told in self._told)


def _held(connection: sqlite3.Connection, keep: KeepTimes, needed: _Needed) -> Iterator[Find]:
    (now_us,) = connection.execute("SELECT us FROM running_time").fetchone()
    results = dict(connection.execute("SELECT job_id, result_asset_id FROM jobs").fetchall())
    gone: set[str] = set()
    for one in due(read_holdings(connection), keep, now_us):
        if one.kind is Kind.JOB:
            gone.add(results[one.name])
        elif one.name in gone or needed.has(one.name):
            continue
        yield Find(sort=Sort(one.kind.value), name=one.name, size_bytes=one.size_bytes)


def _uploads(connection: sqlite3.Connection, times: GcTimes, needed: _Needed) -> Iterator[Find]:
    (now_us,) = connection.execute("SELECT us FROM running_time").fetchone()
    rows = connection.execute(
        "SELECT asset_id, size_bytes FROM assets WHERE ready = 0 AND used_us <= ?"
        " UNION ALL SELECT upload_id, offset_bytes FROM streams WHERE touched_us < ?",
        (now_us - round(times.upload_s * 1e6), now_us - round(times.tus_s * 1e6)),
    )
    for name, size in rows:
        if not needed.has(name):
            yield Find(sort=Sort.UPLOAD, name=name, size_bytes=size)


def _faces(data: Path, keep_s: float, needed: _Needed, now_s: float) -> Iterator[Find]:
    root = data / "faces"
    for folder in sorted(root.iterdir()) if keep_s and root.is_dir() else ():
        with suppress(FileNotFoundError):
            if folder.lstat().st_mtime <= now_s - keep_s and not needed.has(video_of(folder.name)):
                yield Find(sort=Sort.FACE, name=folder.name, size_bytes=size_on_disk(folder))


class Clearing:
    """Clears it away, where no edge runs.

    Args:
        data: The folder.
        database: Its database.
        nodes: The addresses of the edge's nodes, which are told what to forget when it runs again.
        webhook_s: Seconds after which webhooks that wait no more go.
    """

    def __init__(self, data: Path, database: Database, nodes: Iterable[str], *, webhook_s: float) -> None:
        faces = data / "faces"
        self._data = data
        self._database = database
        self._forgets = Forgets(database, tuple(nodes), partial(crop_digests, faces), also=unname)
        self._store = AssetStore(data / "assets", Catalog(database, self._forgets))
        self._uploads = StreamCatalog(database)
        self._jobs = SqliteJobs(database, with_removal=strike_out)
        self._webhook_us = round(webhook_s * 1e6)

    async def clear(self, found: Iterable[Find]) -> list[Find]:
        """Clear these away; gives those that went. At the end no byte of theirs is left in the database."""
        gone = [one for one in found if await self._clear(one)]
        await self._database.erase()
        return gone

    async def _clear(self, one: Find) -> bool:
        match one.sort:
            case Sort.JOB:
                return await self._job(one.name)
            case Sort.RESULT | Sort.ASSET | Sort.ROW:
                return await self._asset(one.name)
            case Sort.UPLOAD:
                await self._uploads.remove([one.name])
                await asyncio.to_thread((self._data / "uploads" / one.name).unlink, missing_ok=True)
                await self._asset(one.name)
            case Sort.FACE:
                folder = self._data / "faces" / one.name
                await self._forgets.note(video_of(one.name), crop_digests(folder.parent, one.name))
                await asyncio.to_thread(remove_tree, folder)
            case Sort.WEBHOOK:
                await Outbox(self._database).sweep(self._webhook_us)
            case Sort.FILE:
                path = self._data / one.name
                await asyncio.to_thread(remove_stray, Stray(folder=path.parent.name, path=path, size_bytes=0))
        return True

    async def _job(self, job_id: str) -> bool:
        try:
            job = await self._jobs.remove(job_id)
        except (ConflictError, NotFoundError):
            return False
        if job is not None and job.result_asset_id:
            await self._asset(job.result_asset_id)
        return job is not None

    async def _asset(self, asset_id: str) -> bool:
        try:
            removed = await self._store.remove(asset_id)
        except ConflictError:  # an unfinished job needs it
            return False
        if removed:
            await asyncio.to_thread(forget_faces, self._data / "faces", asset_id)
            await asyncio.to_thread((self._data / "pictures" / f"{asset_id}{_PICTURE}").unlink, missing_ok=True)
            await self._store.gone(asset_id)
        return removed
