"""The events of all jobs in one row, as the edge's database has them."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Final

from edge_gateway.database import Database
from edge_gateway.jobs.news import JobDeleted, NewsItem
from edge_gateway.jobs.numbers import DELETED_KEPT
from edge_gateway.jobs.sqlite import read_event

_OF_JOBS: Final = " AND job_id IN (SELECT value FROM json_each(:jobs))"


class SqliteNews:
    """Reads what :class:`edge_gateway.jobs.sqlite.SqliteJobs` wrote.

    Args:
        database: Where it stands.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self) -> int:
        """See :class:`edge_gateway.jobs.news.NewsLog`."""
        return await self._database.run(lambda c: int(c.execute("SELECT number FROM event_count").fetchone()[0]))

    async def since(self, after: int, limit: int, jobs: Iterable[str] | None) -> list[NewsItem]:
        """See :class:`edge_gateway.jobs.news.NewsLog`."""
        asked = {"after": after, "limit": limit, "jobs": None if jobs is None else json.dumps(sorted(jobs))}
        which = "number > :after" + ("" if jobs is None else _OF_JOBS)

        def work(connection: sqlite3.Connection) -> list[NewsItem]:
            rows = connection.execute(
                f"SELECT number, job_id, sequence, time_us, kind, body FROM events WHERE {which}"  # noqa: S608 - our words
                f" UNION ALL SELECT number, job_id, 0, time_us, 'deleted', '' FROM deleted_jobs WHERE {which}"
                " ORDER BY number LIMIT :limit",
                asked,
            )
            return [_item(row) for row in rows]

        return await self._database.run(work)

    async def reaches(self, after: int) -> bool:
        """See :class:`edge_gateway.jobs.news.NewsLog`."""

        def work(connection: sqlite3.Connection) -> bool:
            (last,) = connection.execute("SELECT number FROM event_count").fetchone()
            kept, first = connection.execute("SELECT COUNT(*), MIN(number) FROM deleted_jobs").fetchone()
            return bool(after <= last and (kept < DELETED_KEPT or after >= first - 1))

        return await self._database.run(work)


def _item(row: sqlite3.Row) -> NewsItem:
    if row["kind"] == "deleted":
        return JobDeleted(number=row["number"], job_id=row["job_id"], time_us=row["time_us"])
    return read_event(row)
