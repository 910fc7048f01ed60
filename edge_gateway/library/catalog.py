"""The rows of files in libraries: which asset each one was when it was last brought."""

import sqlite3
from collections.abc import Sequence

from edge_gateway.database import Database
from edge_gateway.library.name import LibraryName
from edge_gateway.library.place import Entry


class LibraryCatalog:
    """Which assets files of libraries are. A row goes with its asset."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, library: str, entries: Sequence[Entry]) -> dict[str, str]:
        """The assets that are here of these files as they are now, by their paths."""

        def work(connection: sqlite3.Connection) -> dict[str, str]:
            found: dict[str, str] = {}
            for entry in entries:
                row = connection.execute(
                    "SELECT asset_id FROM library_files WHERE library = ? AND path = ? AND stamp = ?",
                    (library, entry.path, entry.stamp),
                ).fetchone()
                if row is not None:
                    found[entry.path] = row[0]
            return found

        return await self._database.run(work)

    async def note(self, name: LibraryName, stamp: str, asset_id: str) -> bool:
        """Write down what a file is; False when that asset has been deleted meanwhile."""

        def work(connection: sqlite3.Connection) -> bool:
            written = connection.execute(
                "INSERT OR REPLACE INTO library_files (library, path, stamp, asset_id)"
                " SELECT ?, ?, ?, asset_id FROM assets WHERE asset_id = ? AND ready = 1",
                (name.library, name.path, stamp, asset_id),
            )
            return written.rowcount > 0

        return await self._database.run(work)
