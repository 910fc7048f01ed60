"""The database on a disk that is full."""

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
