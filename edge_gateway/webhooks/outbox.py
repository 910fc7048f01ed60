"""Webhooks in the edge's database: written down with the job's end, struck out when they are old."""

import secrets
import sqlite3
import time
from collections.abc import Callable, Collection
from typing import Final

from edge_gateway.database import Database
from edge_gateway.jobs.job import Job
from edge_gateway.webhooks.webhook import Webhook, WebhookState, body_of, host_of, type_of
from shared.errors import NotFoundError

_COLUMNS: Final = (
    "number, webhook_id, job_id, url, type, body, state, tries, created_us, next_us, since_us, status, error"
)


def enqueue(connection: sqlite3.Connection, job: Job) -> None:
    """Write down that a job's end is to be told, in the transaction that ends it."""
    if not job.options.webhook:
        return
    now = job.updated_us
    connection.execute(
        "INSERT INTO webhooks (webhook_id, job_id, url, host, type, body, state, created_us, next_us, since_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            f"msg_{secrets.token_hex(16)}",
            job.job_id,
            job.options.webhook,
            host_of(job.options.webhook),
            type_of(job),
            body_of(job),
            WebhookState.WAITING.value,
            now,
            now,
            now,
        ),
    )


def strike_out(connection: sqlite3.Connection, job_id: str) -> None:
    """Strike out what was told of a job, in the transaction that deletes it; what is yet to be told goes after that."""
    connection.execute("DELETE FROM webhooks WHERE job_id = ? AND state != ?", (job_id, WebhookState.WAITING.value))
    connection.execute("UPDATE webhooks SET job_is_gone = 1 WHERE job_id = ?", (job_id,))


class Outbox:
    """The webhooks of one edge.

    Args:
        database: Where they stand.
        clock_us: Microseconds since 1970.
    """

    def __init__(self, database: Database, clock_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._database = database
        self._clock_us = clock_us

    async def next(self, *, busy: Collection[str], without_hosts: Collection[str]) -> Webhook | None:
        """The one of those that wait whose time comes first, but for some webhooks and hosts."""

        def work(connection: sqlite3.Connection) -> Webhook | None:
            # No more than a few of each are named: as many as are delivered at once.
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM webhooks WHERE state = ?"  # noqa: S608 - our words
                f" AND webhook_id NOT IN ({_marks(busy)}) AND host NOT IN ({_marks(without_hosts)})"
                " ORDER BY next_us, number LIMIT 1",
                (WebhookState.WAITING.value, *busy, *without_hosts),
            ).fetchone()
            return None if row is None else _webhook(row)

        return await self._database.run(work)

    async def note(
        self, webhook: Webhook, state: WebhookState, *, status: int, error: str = "", next_us: int = 0
    ) -> None:
        """Write down how a try ended; one that was replayed meanwhile waits all the same."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE webhooks SET state = ?, tries = tries + 1, status = ?, error = ?, next_us = ?"
                " WHERE webhook_id = ? AND since_us = ?",
                (state.value, status, error, next_us, webhook.webhook_id, webhook.since_us),
            )
            if state is not WebhookState.WAITING:
                connection.execute(
                    "DELETE FROM webhooks WHERE webhook_id = ? AND state != ? AND job_is_gone",
                    (webhook.webhook_id, WebhookState.WAITING.value),
                )

        await self._database.run(work, erases=state is not WebhookState.WAITING)

    async def page(self, *, count: int, before: int | None, state: WebhookState | None) -> list[Webhook]:
        """Webhooks from the newest, those with numbers below ``before``."""

        def work(connection: sqlite3.Connection) -> list[Webhook]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM webhooks"  # noqa: S608 - our words
                " WHERE (:before IS NULL OR number < :before) AND (:state IS NULL OR state = :state)"
                " ORDER BY number DESC LIMIT :count",
                {"before": before, "state": state and state.value, "count": count},
            )
            return [_webhook(row) for row in rows]

        return await self._database.run(work)

    async def replay(self, webhook_id: str, key: str) -> Webhook:
        """Let one wait again; the same key does it once.

        Raises:
            NotFoundError: there is none of this id.
        """

        def work(connection: sqlite3.Connection) -> Webhook:
            now = self._clock_us()
            find = f"SELECT {_COLUMNS} FROM webhooks WHERE webhook_id = ?"  # noqa: S608 - our words
            row = connection.execute(find, (webhook_id,)).fetchone()
            if row is None:
                raise NotFoundError("this edge has no such webhook", field="webhook_id")
            if key:
                known = "INSERT INTO webhook_replays VALUES (?, ?) ON CONFLICT DO NOTHING"
                if not connection.execute(known, (webhook_id, key)).rowcount:
                    return _webhook(row)
            connection.execute(
                "UPDATE webhooks SET state = ?, tries = 0, next_us = ?, since_us = MAX(since_us + 1, ?)"
                " WHERE webhook_id = ?",
                (WebhookState.WAITING.value, now, now, webhook_id),
            )
            return _webhook(connection.execute(find, (webhook_id,)).fetchone())

        return await self._database.run(work)

    async def sweep(self, keep_us: int) -> None:
        """Strike out what waits no more and is older than that."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM webhooks WHERE state != ? AND created_us < ?",
                (WebhookState.WAITING.value, self._clock_us() - keep_us),
            )

        await self._database.run(work)


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" * len(values))


def _webhook(row: sqlite3.Row) -> Webhook:
    return Webhook(**{**dict(row), "state": WebhookState(row["state"])})
