"""What a list of jobs shows beside the jobs: how their files are called, and how far each stage has come."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_gateway.assets.stream import SCHEME
from edge_gateway.database import Database
from edge_gateway.jobs.job import Job, Progress, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCard:
    """A job as a list shows it."""

    job: Job
    names: Mapping[str, str] = field(default_factory=dict)
    """Display names by asset id; one that was deleted has none."""
    progress: Mapping[Stage, Progress] = field(default_factory=dict)
    """The newest of each stage; nothing for a job that is over."""


class Cards:
    """Looks it up.

    Args:
        database: Where it stands.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, jobs: Sequence[Job]) -> list[JobCard]:
        """The cards of jobs."""
        wanted = json.dumps(sorted({asset_id for job in jobs for _, asset_id in job.assets}))
        running = json.dumps([job.job_id for job in jobs if not job.state.is_final])

        def work(connection: sqlite3.Connection) -> list[JobCard]:
            names = _names(connection, wanted)
            progress = _progress(connection, running)
            return [
                JobCard(
                    job=job,
                    names={asset_id: names.get(asset_id, "") for _, asset_id in job.assets},
                    progress=progress.get(job.job_id, {}),
                )
                for job in jobs
            ]

        return await self._database.run(work)


def _names(connection: sqlite3.Connection, wanted: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT asset_id, display_name FROM assets WHERE asset_id IN (SELECT value FROM json_each(:wanted))"
        " UNION ALL SELECT :upload || upload_id, display_name FROM streams WHERE upload_id IN"
        " (SELECT substr(value, :behind) FROM json_each(:wanted) WHERE value LIKE :upload || '%')",
        {"wanted": wanted, "upload": SCHEME, "behind": len(SCHEME) + 1},
    )
    return {row[0]: row[1] for row in rows}


def _progress(connection: sqlite3.Connection, running: str) -> dict[str, dict[Stage, Progress]]:
    rows = connection.execute(
        # SQLite takes the other columns from the row that has the greatest sequence.
        "SELECT job_id, body, MAX(sequence) FROM events WHERE job_id IN (SELECT value FROM json_each(?))"
        " AND kind = 'progress' GROUP BY job_id, json_extract(body, '$.stage')",
        (running,),
    )
    found: dict[str, dict[Stage, Progress]] = {}
    for job_id, body, _ in rows:
        told = json.loads(body)
        progress = Progress(**told | {"stage": Stage(told["stage"])})
        found.setdefault(job_id, {})[progress.stage] = progress
    return found
