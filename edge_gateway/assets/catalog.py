"""The rows of assets and of their chunks in the edge's database."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from edge_gateway.assets.asset import Asset, AssetKind, Manifest, is_named
from edge_gateway.database import Database
from shared.errors import ConflictError, NotFoundError
from shared.media.probe import MediaInfo

T = TypeVar("T")

_FINAL = json.dumps(["succeeded", "failed", "cancelled"])


class Removal(Protocol):
    """What goes with an asset besides its row."""

    def strike(self, connection: sqlite3.Connection, asset_id: str) -> None:
        """Note in the transaction that an asset is deleted."""
        ...

    def wake(self) -> None:
        """Something was deleted."""
        ...


class Catalog:
    """Which assets there are and which of their chunks are safe.

    Args:
        database: Where they stand.
        removal: Told of assets that are deleted.
    """

    def __init__(self, database: Database, removal: Removal | None = None) -> None:
        self._database = database
        self._removal = removal

    async def announce(self, manifest: Manifest, now_us: int, kind: AssetKind | None = None) -> Asset:
        """Write down an asset that is about to come, or find the one that is there.

        The row of an open manifest has no digests yet; they stand with its chunks. The kind is that of a file that the
        edge has made itself.
        """

        def work(connection: sqlite3.Connection) -> Asset:
            connection.execute(
                "INSERT INTO assets (asset_id, size_bytes, display_name, created_us, digests, kind, used_us)"
                " VALUES (?, ?, ?, ?, ?, ?, (SELECT us FROM running_time)) ON CONFLICT (asset_id) DO NOTHING",
                (
                    manifest.asset_id,
                    manifest.size_bytes,
                    manifest.display_name,
                    now_us,
                    b"".join(manifest.digests),
                    kind.value if kind else "",
                ),
            )
            return read_asset(
                connection.execute("SELECT * FROM assets WHERE asset_id = ?", (manifest.asset_id,)).fetchone()
            )

        return await self._database.run(work)

    async def find_by_ends(self, size_bytes: int, head: bytes, tail: bytes) -> Asset | None:
        """An asset of this size that begins and ends so; a ready one before others, a newer one before older ones."""

        def work(connection: sqlite3.Connection) -> Asset | None:
            row = connection.execute(
                "SELECT * FROM assets WHERE size_bytes = ? AND substr(digests, 1, 32) = ?"
                " AND substr(digests, -32) = ? ORDER BY ready DESC, number DESC LIMIT 1",
                (size_bytes, head, tail),
            ).fetchone()
            return None if row is None else read_asset(row)

        return await self._database.run(work)

    async def noted_digests(self, asset_id: str) -> tuple[bytes, ...]:
        """All digests of an asset's chunks; none while some may be unknown."""

        def work(connection: sqlite3.Connection) -> tuple[bytes, ...]:
            row = connection.execute("SELECT digests FROM assets WHERE asset_id = ?", (asset_id,)).fetchone()
            whole = b"" if row is None else bytes(row[0])
            return tuple(whole[at : at + 32] for at in range(0, len(whole), 32))

        return await self._database.run(work)

    async def digests(self, asset_id: str) -> dict[int, bytes]:
        """The digests that are known of an asset's chunks."""
        noted = await self.noted_digests(asset_id)
        if noted:
            return dict(enumerate(noted))

        def work(connection: sqlite3.Connection) -> dict[int, bytes]:
            rows = connection.execute("SELECT chunk_index, digest FROM chunks WHERE asset_id = ?", (asset_id,))
            return {row[0]: row[1] for row in rows if row[1]}

        return await self._database.run(work)

    async def note_digests(self, upload_id: str, manifest: Manifest) -> None:
        """Write down all digests of an upload that has no id yet: it is about to get one."""
        values = (b"".join(manifest.digests), upload_id)
        await self._database.run(lambda c: c.execute("UPDATE assets SET digests = ? WHERE asset_id = ?", values))

    async def rename(self, upload_id: str, asset_id: str) -> None:
        """Give an upload the id of its content; its chunks go with it."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA defer_foreign_keys = ON")
            connection.execute("UPDATE assets SET asset_id = ? WHERE asset_id = ?", (asset_id, upload_id))
            connection.execute("UPDATE chunks SET asset_id = ? WHERE asset_id = ?", (asset_id, upload_id))

        await self._database.run(work)

    async def find(self, asset_id: str) -> Asset | None:
        """The asset of this id, if there is one."""

        def work(connection: sqlite3.Connection) -> Asset | None:
            row = connection.execute("SELECT * FROM assets WHERE asset_id = ?", (asset_id,)).fetchone()
            return None if row is None else read_asset(row)

        return await self._database.run(work)

    async def held(self, asset_id: str) -> set[int]:
        """The chunks that are safe."""

        def work(connection: sqlite3.Connection) -> set[int]:
            rows = connection.execute("SELECT chunk_index FROM chunks WHERE asset_id = ?", (asset_id,))
            return {row[0] for row in rows}

        return await self._database.run(work)

    async def hold(self, asset_id: str, chunks: Mapping[int, bytes]) -> None:
        """Write down chunks that are on disk, with their digests.

        Raises:
            NotFoundError: the asset was deleted meanwhile.
        """

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute("SELECT 1 FROM assets WHERE asset_id = ?", (asset_id,)).fetchone() is None:
                raise NotFoundError("the asset was deleted while it was uploaded", field="asset_id")
            rows = [(asset_id, chunk, digest) for chunk, digest in chunks.items()]
            connection.executemany(
                "INSERT OR IGNORE INTO chunks (asset_id, chunk_index, digest) VALUES (?, ?, ?)", rows
            )

        await self._database.run(work)

    async def forget_chunks(self, asset_id: str) -> None:
        """Strike out every chunk of an asset whose file is gone."""
        await self._database.run(lambda c: c.execute("DELETE FROM chunks WHERE asset_id = ?", (asset_id,)))

    async def whole(self) -> list[str]:
        """Assets of which every chunk is safe, but which were not completed."""

        def work(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT asset_id, size_bytes, digests FROM assets WHERE ready = 0 AND digests <> x''"
                " AND (SELECT COUNT(*) FROM chunks WHERE chunks.asset_id = assets.asset_id) * 32 = LENGTH(digests)"
            )
            return [row[0] for row in rows if is_named(*row)]

        return await self._database.run(work)

    async def note_sha256(self, asset_id: str, sha256: bytes) -> None:
        """Write down the digest of an asset's whole file."""
        values = (sha256, asset_id)
        await self._database.run(lambda c: c.execute("UPDATE assets SET sha256 = ? WHERE asset_id = ?", values))

    async def complete(self, asset_id: str, kind: AssetKind, media: MediaInfo) -> Asset:
        """Make an asset ready; its chunks need no rows any longer."""

        def work(connection: sqlite3.Connection) -> Asset:
            connection.execute(
                "UPDATE assets SET ready = 1, kind = ?, media = ? WHERE asset_id = ?",
                (kind.value, json.dumps(media.to_header()), asset_id),
            )
            connection.execute("DELETE FROM chunks WHERE asset_id = ?", (asset_id,))
            return read_asset(connection.execute("SELECT * FROM assets WHERE asset_id = ?", (asset_id,)).fetchone())

        return await self._database.run(work)

    async def page(self, *, count: int, before: int | None, kind: AssetKind | None) -> list[Asset]:
        """Assets from the newest, those with numbers below ``before``."""

        def work(connection: sqlite3.Connection) -> list[Asset]:
            rows = connection.execute(
                "SELECT * FROM assets WHERE (:before IS NULL OR number < :before) AND (:kind = '' OR kind = :kind)"
                " ORDER BY number DESC LIMIT :count",
                {"before": before, "kind": kind.value if kind else "", "count": count},
            )
            return [read_asset(row) for row in rows]

        return await self._database.run(work)

    async def remove(self, asset_id: str) -> bool:
        """Strike an asset out; False when there was none.

        Raises:
            ConflictError: an unfinished job needs it.
        """

        def work(connection: sqlite3.Connection) -> bool:
            needed = connection.execute(
                "SELECT job_id FROM jobs WHERE (:asset IN (video_asset_id, speech_asset_id, background_asset_id)"
                " OR instr(speakers, :asset)) AND state NOT IN (SELECT value FROM json_each(:final)) LIMIT 1",
                {"asset": asset_id, "final": _FINAL},
            ).fetchone()
            if needed is not None:
                message = f"job {needed['job_id']} still needs this asset; cancel it first or wait for its end"
                raise ConflictError(message, field="asset_id")
            if connection.execute("SELECT 1 FROM assets WHERE asset_id = ?", (asset_id,)).fetchone() is None:
                return False
            self._strike(connection, asset_id)
            return True

        return await self._removed(work)

    async def remove_unowned_results(self) -> list[str]:
        """Strike out results that no job has made or works with; gives their ids."""

        def work(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT asset_id FROM assets WHERE kind = 'result' AND NOT EXISTS (SELECT 1 FROM jobs WHERE asset_id IN"
                " (result_asset_id, video_asset_id, speech_asset_id, background_asset_id)"
                " OR instr(speakers, asset_id))"
            )
            gone = [row[0] for row in rows]
            for asset_id in gone:
                self._strike(connection, asset_id)
            return gone

        return await self._removed(work)

    async def going(self) -> list[str]:
        """Assets that were struck out and whose files may still be there: the edge ended in between."""

        def work(connection: sqlite3.Connection) -> list[str]:
            connection.execute("DELETE FROM going WHERE asset_id IN (SELECT asset_id FROM assets)")  # it came again
            return [row[0] for row in connection.execute("SELECT asset_id FROM going")]

        return await self._database.run(work)

    async def gone(self, asset_id: str) -> None:
        """The files of an asset that was struck out are gone."""
        await self._database.run(lambda c: c.execute("DELETE FROM going WHERE asset_id = ?", (asset_id,)), erases=True)

    def _strike(self, connection: sqlite3.Connection, asset_id: str) -> None:
        """Strike out an asset and what else names it: that it was used, and the upload that it came by."""
        if self._removal is not None:
            self._removal.strike(connection, asset_id)
        for table in ("used_videos", "streams", "assets"):
            connection.execute(f"DELETE FROM {table} WHERE asset_id = ?", (asset_id,))  # noqa: S608 - our words
        connection.execute("INSERT OR IGNORE INTO going VALUES (?)", (asset_id,))

    async def _removed(self, work: Callable[[sqlite3.Connection], T]) -> T:
        removed = await self._database.run(work, erases=True)
        if self._removal is not None:
            self._removal.wake()
        return removed


def read_asset(row: sqlite3.Row) -> Asset:
    """The asset in a row."""
    return Asset(
        number=row["number"],
        asset_id=row["asset_id"],
        size_bytes=row["size_bytes"],
        display_name=row["display_name"],
        created_us=row["created_us"],
        ready=bool(row["ready"]),
        kind=AssetKind(row["kind"]) if row["kind"] else None,
        media=None if row["media"] is None else MediaInfo.from_header(json.loads(row["media"])),
        sha256=row["sha256"] or b"",
        used_us=row["used_us"],
    )
