"""What the edge's database knows of that may go one day."""

import sqlite3

from edge_gateway.database import Database
from edge_gateway.keeping.plan import Holding, Kind

_QUERY = """
    SELECT :job AS kind, job_id AS name, touched_us AS used_us,
    COALESCE((SELECT size_bytes FROM assets WHERE asset_id = result_asset_id), 0) AS size_bytes FROM jobs
    WHERE state IN ('succeeded', 'failed', 'cancelled')
    UNION ALL
    SELECT CASE kind WHEN 'result' THEN :result ELSE :asset END, asset_id, used_us, size_bytes FROM assets
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
        return await self._database.run(read_holdings)


def read_holdings(connection: sqlite3.Connection) -> list[Holding]:
    """Jobs that are over, with the bytes of their results, and files that are complete."""
    kinds = {"job": Kind.JOB.value, "result": Kind.RESULT.value, "asset": Kind.ASSET.value}
    return [
        Holding(kind=Kind(row["kind"]), name=row["name"], size_bytes=row["size_bytes"], used_us=row["used_us"])
        for row in connection.execute(_QUERY, kinds)
    ]
