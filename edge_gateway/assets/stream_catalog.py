"""The rows of uploads whose bytes come in order."""

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence

from edge_gateway.assets.stream import NewStream, Stream
from edge_gateway.database import Database
from shared.errors import NotFoundError, ResourceExhaustedError, VisemeError, by_reason

_ID_BYTES = 16


class StreamCatalog:
    """Which uploads are open, how far they are, and what they became."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, new: NewStream, now_us: int, limit: int) -> Stream:
        """Write down a new upload, unless so many are unfinished.

        Raises:
            ResourceExhaustedError: they are.
        """
        upload_id = secrets.token_hex(_ID_BYTES)

        def work(connection: sqlite3.Connection) -> Stream:
            unfinished = "SELECT count(*) FROM streams WHERE asset_id = '' AND error IS NULL"
            if connection.execute(unfinished).fetchone()[0] >= limit:
                message = (
                    f"{limit} uploads are unfinished and no more may be; finish or delete some, or try again later"
                )
                raise ResourceExhaustedError(message, limit="tus_uploads")
            connection.execute(
                "INSERT INTO streams (upload_id, size_bytes, display_name, metadata, is_part, parts, touched_us)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    upload_id,
                    new.size_bytes,
                    new.display_name,
                    new.metadata,
                    new.is_part,
                    json.dumps(new.parts) if new.parts else "",
                    now_us,
                ),
            )
            return _stream(connection.execute("SELECT * FROM streams WHERE upload_id = ?", (upload_id,)).fetchone())

        return await self._database.run(work)

    async def find(self, upload_id: str) -> Stream | None:
        """The upload of this id, if there is one."""

        def work(connection: sqlite3.Connection) -> Stream | None:
            row = connection.execute("SELECT * FROM streams WHERE upload_id = ?", (upload_id,)).fetchone()
            return None if row is None else _stream(row)

        return await self._database.run(work)

    async def made_of(self, parts: Sequence[str]) -> Stream | None:
        """The upload that was put together from these, if there is one."""

        def work(connection: sqlite3.Connection) -> Stream | None:
            row = connection.execute("SELECT * FROM streams WHERE parts = ?", (json.dumps(parts),)).fetchone()
            return None if row is None else _stream(row)

        return await self._database.run(work)

    async def ids(self) -> set[str]:
        """Every upload that is known."""
        return await self._database.run(lambda c: {row[0] for row in c.execute("SELECT upload_id FROM streams")})

    async def advance(
        self, upload_id: str, offset: int, chunks: Mapping[int, bytes], now_us: int, *, progress_bytes: int
    ) -> None:
        """Write down that everything before ``offset`` is on disk.

        The upload is touched by that only once it came further by ``progress_bytes``, or is whole: who sends a byte now
        and then does not keep it for ever.

        Raises:
            NotFoundError: the upload was deleted meanwhile.
        """

        def work(connection: sqlite3.Connection) -> None:
            moved = connection.execute("UPDATE streams SET offset_bytes = ? WHERE upload_id = ?", (offset, upload_id))
            if not moved.rowcount:
                raise NotFoundError("the upload was deleted while it ran", field="upload_id")
            connection.execute(
                "UPDATE streams SET touched_us = ?, counted_bytes = offset_bytes"
                " WHERE upload_id = ? AND (offset_bytes - counted_bytes >= ? OR offset_bytes = size_bytes)",
                (now_us, upload_id, progress_bytes),
            )
            rows = [(upload_id, index, one) for index, one in chunks.items()]
            connection.executemany("INSERT OR REPLACE INTO stream_chunks VALUES (?, ?, ?)", rows)

        await self._database.run(work)

    async def digests(self, upload_id: str) -> tuple[bytes, ...]:
        """The digests of the chunks, in their order."""

        def work(connection: sqlite3.Connection) -> tuple[bytes, ...]:
            query = "SELECT digest FROM stream_chunks WHERE upload_id = ? ORDER BY chunk_index"
            return tuple(row[0] for row in connection.execute(query, (upload_id,)))

        return await self._database.run(work)

    async def became(self, upload_id: str, asset_id: str) -> None:
        """Write down what an upload became; its chunks need no rows any longer."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE streams SET asset_id = ? WHERE upload_id = ?", (asset_id, upload_id))
            connection.execute("DELETE FROM stream_chunks WHERE upload_id = ?", (upload_id,))

        await self._database.run(work)

    async def refuse(self, upload_id: str, error: VisemeError) -> None:
        """Write down why an upload will never become an asset."""
        told = json.dumps(
            {"reason": error.reason, "message": error.message, "field": error.field, "limit": error.limit}
        )

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE streams SET error = ? WHERE upload_id = ?", (told, upload_id))
            connection.execute("DELETE FROM stream_chunks WHERE upload_id = ?", (upload_id,))

        await self._database.run(work)

    async def remove(self, upload_ids: Sequence[str]) -> None:
        """Strike uploads out."""
        rows = [(upload_id,) for upload_id in upload_ids]
        await self._database.run(
            lambda c: c.executemany("DELETE FROM streams WHERE upload_id = ?", rows), erases=bool(rows)
        )

    async def untouched(self, since_us: int) -> list[str]:
        """The uploads that nothing came for since then."""

        def work(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute("SELECT upload_id FROM streams WHERE touched_us < ?", (since_us,))
            return [row[0] for row in rows]

        return await self._database.run(work)


def _stream(row: sqlite3.Row) -> Stream:
    return Stream(
        upload_id=row["upload_id"],
        size_bytes=row["size_bytes"],
        offset_bytes=row["offset_bytes"],
        display_name=row["display_name"],
        metadata=row["metadata"],
        is_part=bool(row["is_part"]),
        parts=tuple(json.loads(row["parts"])) if row["parts"] else (),
        asset_id=row["asset_id"],
        error=None if row["error"] is None else _error(json.loads(row["error"])),
        touched_us=row["touched_us"],
    )


def _error(told: Mapping[str, str]) -> VisemeError:
    return by_reason(told["reason"])(told["message"], field=told["field"], limit=told["limit"])
