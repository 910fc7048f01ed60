"""The edge's database: SQLite in a thread of its own, one transaction a call.

A transaction is one plain function that runs from beginning to end in the database's thread, so a caller that is
cancelled can never leave one half done.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from shared.errors import DiskFullError, InternalError
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

T = TypeVar("T")

_FULL = frozenset(
    {
        "SQLITE_FULL",
        "SQLITE_IOERR_WRITE",
        "SQLITE_IOERR_FSYNC",
        "SQLITE_IOERR_TRUNCATE",
        "SQLITE_IOERR_SHMSIZE",
    }
)

_ROOM_BYTES = 2 << 20
"""What the database may need of a disk that is full."""

_BUSY_MS: Final = 30_000
_ERASE_S: Final = 1.0
"""For so long further deletions are waited for, so that many cost no more than one."""
_ERASE_AGAIN_S: Final = 5.0

_VERSIONS = (
    """
    CREATE TABLE assets (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        asset_id TEXT NOT NULL UNIQUE,
        size_bytes INTEGER NOT NULL,
        display_name TEXT NOT NULL,
        kind TEXT NOT NULL DEFAULT '',
        ready INTEGER NOT NULL DEFAULT 0,
        created_us INTEGER NOT NULL,
        digests BLOB NOT NULL,
        sha256 BLOB,
        media TEXT
    ) STRICT;
    CREATE TABLE chunks (
        asset_id TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,
        chunk_index INTEGER NOT NULL,
        PRIMARY KEY (asset_id, chunk_index)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL UNIQUE,
        idempotency_key TEXT UNIQUE,
        state TEXT NOT NULL,
        video_asset_id TEXT NOT NULL,
        speech_asset_id TEXT NOT NULL,
        fit TEXT NOT NULL,
        keep_length INTEGER NOT NULL,
        engine TEXT NOT NULL,
        created_us INTEGER NOT NULL,
        updated_us INTEGER NOT NULL,
        result_asset_id TEXT NOT NULL DEFAULT '',
        error TEXT,
        report TEXT,
        last_sequence INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX jobs_by_state ON jobs (state, number);
    CREATE TABLE events (
        job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
        sequence INTEGER NOT NULL,
        time_us INTEGER NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (job_id, sequence)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE chunks ADD COLUMN digest BLOB;
    ALTER TABLE assets ADD COLUMN used_us INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX assets_by_ends ON assets (size_bytes, substr(digests, 1, 32), substr(digests, -32));
    CREATE TABLE running_time (us INTEGER NOT NULL) STRICT;
    INSERT INTO running_time VALUES (0);
    """,
    """
    CREATE TABLE streams (
        upload_id TEXT PRIMARY KEY,
        size_bytes INTEGER NOT NULL,
        offset_bytes INTEGER NOT NULL DEFAULT 0,
        display_name TEXT NOT NULL,
        metadata TEXT NOT NULL,
        is_part INTEGER NOT NULL,
        parts TEXT NOT NULL,
        asset_id TEXT NOT NULL DEFAULT '',
        error TEXT,
        touched_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE stream_chunks (
        upload_id TEXT NOT NULL REFERENCES streams (upload_id) ON DELETE CASCADE,
        chunk_index INTEGER NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (upload_id, chunk_index)
    ) STRICT, WITHOUT ROWID;
    """,
    # Touched by the clock of running_time from here on.
    """
    ALTER TABLE streams ADD COLUMN counted_bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE streams SET touched_us = (SELECT us FROM running_time), counted_bytes = offset_bytes;
    """,
    """
    CREATE TABLE library_files (
        library TEXT NOT NULL,
        path TEXT NOT NULL,
        stamp TEXT NOT NULL,
        asset_id TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,
        PRIMARY KEY (library, path)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX library_files_by_asset ON library_files (asset_id);
    """,
    """
    ALTER TABLE jobs ADD COLUMN background_asset_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN keep_sound INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN background_volume REAL NOT NULL DEFAULT 0.3;
    """,
    # Who speaks, as JSON, with the asset ids of further speeches; empty for the largest face alone.
    """
    ALTER TABLE jobs ADD COLUMN speakers TEXT NOT NULL DEFAULT '';
    """,
    # Every event of every job has a number in one row of all; the deletion of a job takes one, too.
    """
    ALTER TABLE events ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    UPDATE events SET number = numbered.place FROM (
        SELECT job_id, sequence, ROW_NUMBER() OVER (ORDER BY time_us, job_id, sequence) AS place FROM events
    ) AS numbered WHERE events.job_id = numbered.job_id AND events.sequence = numbered.sequence;
    CREATE UNIQUE INDEX events_by_number ON events (number);
    CREATE TABLE event_count (number INTEGER NOT NULL) STRICT;
    INSERT INTO event_count SELECT COUNT(*) FROM events;
    CREATE TABLE deleted_jobs (
        number INTEGER PRIMARY KEY,
        job_id TEXT NOT NULL,
        time_us INTEGER NOT NULL
    ) STRICT;
    """,
    # The videos that jobs used, whether those are still known or not.
    """
    CREATE TABLE used_videos (
        asset_id TEXT PRIMARY KEY,
        place INTEGER NOT NULL,
        used_us INTEGER NOT NULL,
        jobs INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO used_videos SELECT video_asset_id, MAX(number), MAX(created_us), COUNT(*) FROM jobs GROUP BY 1;
    """,
    # What is told of jobs' ends outlives the jobs.
    """
    ALTER TABLE jobs ADD COLUMN timeout_us INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN webhook TEXT NOT NULL DEFAULT '';
    CREATE TABLE webhooks (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        webhook_id TEXT NOT NULL UNIQUE,
        job_id TEXT NOT NULL,
        url TEXT NOT NULL,
        host TEXT NOT NULL,
        type TEXT NOT NULL,
        body TEXT NOT NULL,
        state TEXT NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        created_us INTEGER NOT NULL,
        next_us INTEGER NOT NULL,
        since_us INTEGER NOT NULL,
        status INTEGER NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX webhooks_by_time ON webhooks (state, next_us);
    CREATE TABLE webhook_replays (
        webhook_id TEXT NOT NULL REFERENCES webhooks (webhook_id) ON DELETE CASCADE,
        idempotency_key TEXT NOT NULL,
        PRIMARY KEY (webhook_id, idempotency_key)
    ) STRICT, WITHOUT ROWID;
    """,
    # The traceparent of the call that submitted the job, so that work after a restart is part of the same trace.
    """
    ALTER TABLE jobs ADD COLUMN trace TEXT NOT NULL DEFAULT '';
    """,
    # When a job last changed, by the clock of running_time: how long it is kept. Older jobs begin their time now.
    """
    ALTER TABLE jobs ADD COLUMN touched_us INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET touched_us = (SELECT us FROM running_time);
    """,
    # What nodes may keep of a file (crops and speech, by SHA-256), and what they are yet to be told to forget. What is
    # told of a job that was deleted meanwhile goes once it has been told.
    """
    ALTER TABLE webhooks ADD COLUMN job_is_gone INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE sent_blobs (
        asset_id TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE ON UPDATE CASCADE,
        digest BLOB NOT NULL,
        PRIMARY KEY (asset_id, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE forgets (
        node TEXT NOT NULL,
        digest BLOB NOT NULL,
        since_us INTEGER NOT NULL,
        PRIMARY KEY (node, digest)
    ) STRICT, WITHOUT ROWID;
    """,
    # Assets whose row is gone and whose files may still be there.
    """
    CREATE TABLE going (asset_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    """,
    # What jobs of the last day were to decode; the assets are named only while nobody knows how large the video is.
    """
    CREATE TABLE spent (
        time_us INTEGER NOT NULL,
        video_asset_id TEXT NOT NULL,
        speech_asset_id TEXT NOT NULL,
        pixels INTEGER
    ) STRICT;
    """,
)


SCHEMA: Final = len(_VERSIONS)
"""The schema that this version reads and writes."""


class Database:
    """One SQLite file. Made by :meth:`open`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._connection: sqlite3.Connection | None = None
        self._to_erase = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator["Database"]:
        """Open the file, bring its schema up to date and close it at the end.

        Raises:
            InternalError: the file was written by a newer version.
            DiskFullError: the disk has no room.
        """
        database = cls(path)
        loop = asyncio.get_running_loop()
        try:
            with _no_room():
                await loop.run_in_executor(database._thread, database._connect)
            yield database
        finally:
            await loop.run_in_executor(database._thread, database._close)
            database._thread.shutdown()

    async def run(self, work: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        """Run ``work`` as one transaction: all of it is safe on disk when this returns, or none of it happened.

        Args:
            work: What to do.
            erases: It deletes what somebody wants gone: soon no byte of that is left in the file or its log.

        Raises:
            DiskFullError: the disk has no room.
        """
        result = await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)
        if erases:
            self._to_erase.set()
        return result

    async def keep_erased(self) -> None:
        """Erase what was deleted, soon after each deletion, until cancelled."""
        while True:
            await self._to_erase.wait()
            await asyncio.sleep(_ERASE_S)
            self._to_erase.clear()
            if not await self.erase():
                _LOG.info("deleted rows are erased from the log later: another process reads the database")
                self._to_erase.set()
                await asyncio.sleep(_ERASE_AGAIN_S)

    async def erase(self) -> bool:
        """Leave no byte of deleted rows; False while another process reads, and nothing could be done.

        What is deleted is overwritten in the file by ``secure_delete``. The log has old pages until it is written anew,
        so that is done: not cut off, since its length is the room that the edge has on a full disk.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._erase)

    def _connect(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=_BUSY_MS / 1000)
        connection.row_factory = sqlite3.Row
        self._connection = connection
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {setting}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(_VERSIONS):
            message = (
                f"{self._path} was written by a newer version of viseme (schema {version}, this one knows"
                f" {len(_VERSIONS)}); start that version, or restore the backup from before the upgrade"
            )
            raise InternalError(message)
        for number in range(version, len(_VERSIONS)):
            connection.executescript(f"BEGIN; {_VERSIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")
        with suppress(DiskFullError), _no_room():
            self._keep_room(connection)

    @staticmethod
    def _keep_room(connection: sqlite3.Connection) -> None:
        """Make the log as long as it will be, and some free pages: a job that meets a full disk can be written down."""
        connection.execute(f"PRAGMA journal_size_limit = {_ROOM_BYTES}")
        pages = _ROOM_BYTES // connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA wal_autocheckpoint = {pages // 2}")
        try:
            connection.execute("CREATE TABLE IF NOT EXISTS room (bytes BLOB)")  # a kill may have left it
            connection.execute("INSERT INTO room VALUES (zeroblob(?))", (_ROOM_BYTES,))
        finally:
            connection.execute("DROP TABLE IF EXISTS room")
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _erase(self) -> bool:
        connection = self._connection
        if connection is None:
            raise InternalError("the database is closed")
        connection.execute("PRAGMA busy_timeout = 0")  # who else reads, such as a backup, may take long
        try:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            if not busy:
                with suppress(DiskFullError), _no_room():
                    self._keep_room(connection)
                    return True
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorname", "") != "SQLITE_BUSY":
                raise
        finally:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        return False

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise InternalError("the database is closed")
        try:
            with _no_room():
                connection.execute("BEGIN IMMEDIATE")
                result = work(connection)
                connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        return result

    @staticmethod
    def _roll_back(connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def _no_room() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") not in _FULL:
            raise
        message = "the edge's disk has no room for its database; free some and try again"
        raise DiskFullError(message, limit="disk") from error
