"""The numbers that order the events of all jobs in one row, and the mark that a deleted job leaves there."""

import sqlite3
from typing import Final

DELETED_KEPT: Final = 10_000
"""Deletions that are remembered, for whoever was away meanwhile."""


def take_numbers(connection: sqlite3.Connection, count: int) -> int:
    """Take the next numbers, which nobody else will get; gives the one before the first."""
    (last,) = connection.execute("UPDATE event_count SET number = number + ? RETURNING number", (count,)).fetchone()
    return int(last) - count


def note_deleted(connection: sqlite3.Connection, job_id: str, now_us: int) -> None:
    """Note that a job was deleted with its events."""
    number = take_numbers(connection, 1) + 1
    connection.execute("INSERT INTO deleted_jobs VALUES (?, ?, ?)", (number, job_id, now_us))
    connection.execute(
        "DELETE FROM deleted_jobs WHERE number <="
        " (SELECT number FROM deleted_jobs ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (DELETED_KEPT,),
    )
