"""What the edge's database knows of that may go one day."""

import sqlite3

from edge_gateway.database import Database
from edge_gateway.keeping.plan import Holding, Kind

_QUERY = """
    SELECT :job AS kind, job_id AS name, 0 AS size_bytes, touched_us AS used_us FROM jobs
    WHERE state IN ('succeeded', 'failed', 'cancelled')
    UNION ALL
    SELECT CASE kind WHEN 'result' THEN :result ELSE :asset END, asset_id, size_bytes, used_us FROM assets
    WHERE ready = 1
"""


class Holdings:
    """Reads them.

    Args:
        database: Where they stand.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Holding]:
        """Jobs that are over, and files that are complete."""
        kinds = {"job": Kind.JOB.value, "result": Kind.RESULT.value, "asset": Kind.ASSET.value}

        def work(connection: sqlite3.Connection) -> list[Holding]:
            return [
                Holding(kind=Kind(row["kind"]), name=row["name"], size_bytes=row["size_bytes"], used_us=row["used_us"])
                for row in connection.execute(_QUERY, kinds)
            ]

        return await self._database.run(work)
