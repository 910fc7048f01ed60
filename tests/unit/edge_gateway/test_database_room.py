"""The database on a disk that is full."""

import asyncio
import errno
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge_gateway.database import Database
from shared.errors import DiskFullError

ADD = "INSERT INTO running_time VALUES (?)"


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return filler


async def test_what_is_small_can_be_written_down_on_a_full_disk_and_nothing_is_ever_half_there(
    small_disk: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    disk = small_disk(tmp_path / "small", 8 << 20)
    kept: list[int] = []
    async with Database.open(disk / "edge.db") as database:
        filler = _fill(disk)
        for number in range(1, 101):
            await database.run(lambda c, number=number: c.execute(ADD, (number,)))
            kept.append(number)
        with pytest.raises(DiskFullError):
            await database.run(lambda c: c.execute("CREATE TABLE large AS SELECT zeroblob(4194304)"))
        full = False
        for number in range(101, 5000):
            try:
                await database.run(lambda c, number=number: c.execute(ADD, (number,)))
            except DiskFullError:
                full = True
                break
            kept.append(number)
        filler.unlink()
        await database.run(lambda c: c.execute(ADD, (5000,)))
        kept.append(5000)
        assert full or kept[-2] == 4999
    with closing(sqlite3.connect(disk / "edge.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert [row[0] for row in connection.execute("SELECT us FROM running_time WHERE us > 0")] == kept


async def test_a_start_that_was_killed_while_it_kept_room_does_not_hinder_the_next(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "edge.db") as database:
        await database.run(lambda c: c.execute("CREATE TABLE room (bytes BLOB)"))
    async with Database.open(tmp_path / "edge.db") as database:
        tables = await database.run(lambda c: {row[0] for row in c.execute("SELECT name FROM sqlite_schema")})
    assert "jobs" in tables
    assert "room" not in tables


async def test_what_was_deleted_is_in_no_byte_of_the_file_or_its_log_and_the_room_stays(tmp_path: Path) -> None:
    path = tmp_path / "edge.db"
    log = tmp_path / "edge.db-wal"
    secret = b"nobody-may-read-this"

    def count() -> int:
        return sum(one.read_bytes().count(secret) for one in (path, log))

    async with Database.open(path) as database:
        for number in range(60):
            row = (f"job-{number}", f"{secret.decode()}-{number}" * (1 + number % 9))
            await database.run(lambda c, row=row: c.execute("INSERT INTO deleted_jobs VALUES (NULL, ?, 0)", row[1:]))
        for number in range(2, 61):
            await database.run(
                lambda c, number=number: c.execute("DELETE FROM deleted_jobs WHERE number = ?", (number,))
            )
        assert count() > 1
        room = log.stat().st_size
        with closing(sqlite3.connect(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT COUNT(*) FROM deleted_jobs").fetchone()
            await database.run(lambda c: c.execute("DELETE FROM deleted_jobs"))
            assert not await database.erase(), "a backup that runs must not hold up the edge"
        assert await database.erase()
        assert count() == 0
        assert log.stat().st_size >= room // 2


async def test_deletions_are_erased_soon_by_themselves(tmp_path: Path) -> None:
    log = tmp_path / "edge.db-wal"
    async with Database.open(tmp_path / "edge.db") as database:
        erasing = asyncio.create_task(database.keep_erased())
        await database.run(lambda c: c.execute("INSERT INTO deleted_jobs VALUES (1, 'job-secret', 0)"))
        assert b"job-secret" in log.read_bytes()
        await database.run(lambda c: c.execute("DELETE FROM deleted_jobs"), erases=True)
        async with asyncio.timeout(20):
            while b"job-secret" in log.read_bytes() + (tmp_path / "edge.db").read_bytes():
                await database.run(lambda _: None)
        erasing.cancel()
