"""What nodes are to forget: written down in the transaction that deletes a file, and told until each has done it."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from edge_gateway.database import Database

_GIVEN_UP_US: Final = 30 * 86_400 * 1_000_000
"""A node that has not answered for so long has let go by itself, or is none any more."""


class Forgets:
    """The crops and the speech that nodes were sent of each file, and those that are to be forgotten.

    Args:
        database: Where it stands.
        nodes: The addresses of the edge's nodes.
        crops: Finds the SHA-256 of all crop segments that lie here of a video; blocks.
        clock_us: Microseconds since 1970.
        also: Called in the same transaction, with the id of a file that is about to be deleted.
    """

    def __init__(
        self,
        database: Database,
        nodes: Sequence[str],
        crops: Callable[[str], Iterable[bytes]],
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        also: Callable[[sqlite3.Connection, str], None] = lambda _connection, _asset_id: None,
    ) -> None:
        self._database = database
        self._nodes = tuple(nodes)
        self._crops = crops
        self._clock_us = clock_us
        self._also = also
        self._news = asyncio.Event()

    async def note(self, asset_id: str, digests: Iterable[bytes]) -> None:
        """Write down what nodes are sent, or may have, of a file that is here."""
        rows = [(digest, asset_id) for digest in digests]
        await self._database.run(
            lambda c: c.executemany(
                "INSERT OR IGNORE INTO sent_blobs (digest, asset_id) SELECT ?, asset_id FROM assets WHERE asset_id = ?",
                rows,
            )
        )

    def strike(self, connection: sqlite3.Connection, asset_id: str) -> None:
        """A file is about to be deleted in this transaction: nodes are to forget what they were sent of it."""
        sent = connection.execute("SELECT digest FROM sent_blobs WHERE asset_id = ?", (asset_id,))
        digests = {row[0] for row in sent} | set(self._crops(asset_id))
        self._also(connection, asset_id)
        now = self._clock_us()
        connection.executemany(
            "INSERT OR IGNORE INTO forgets (node, digest, since_us) VALUES (?, ?, ?)",
            [(node, digest, now) for node in self._nodes for digest in digests],
        )

    def wake(self) -> None:
        """Something was deleted."""
        self._news.set()
        self._news = asyncio.Event()

    def news(self) -> asyncio.Event:
        """Is set at the next deletion."""
        return self._news

    async def prune(self) -> None:
        """Strike out what was for nodes that are the edge's no more, or that have not answered for a month."""

        def work(connection: sqlite3.Connection) -> None:
            marks = ", ".join("?" * len(self._nodes))
            connection.execute(
                f"DELETE FROM forgets WHERE node NOT IN ({marks}) OR since_us < ?",  # noqa: S608 - our words
                (*self._nodes, self._clock_us() - _GIVEN_UP_US),
            )

        await self._database.run(work)

    async def pending(self, node: str, limit: int, after: bytes = b"") -> list[bytes]:
        """What a node has not forgotten yet, in order, beyond a digest."""

        def work(connection: sqlite3.Connection) -> list[bytes]:
            rows = connection.execute(
                "SELECT digest FROM forgets WHERE node = ? AND digest > ? ORDER BY digest LIMIT ?", (node, after, limit)
            )
            return [row[0] for row in rows]

        return await self._database.run(work)

    async def done(self, node: str, digests: Iterable[bytes]) -> None:
        """A node has forgotten these."""
        rows = [(node, digest) for digest in digests]
        await self._database.run(
            lambda c: c.executemany("DELETE FROM forgets WHERE node = ? AND digest = ?", rows), erases=True
        )
