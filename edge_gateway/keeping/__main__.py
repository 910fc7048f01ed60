"""``python -m edge_gateway.keeping``: what may go of an edge's folder; ``viseme gc`` runs it.

It takes the edge's settings, as flags, variables or a file, and ``--dry-run``. It answers with lines of JSON: one for
each thing (``{"kind", "name", "size_bytes"}``), then ``{"dry_run", "edge_runs", "data"}``; or with
``{"error": {"reason", "message", "field", "limit"}}`` alone.
"""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from edge_gateway.database import SCHEMA, Database
from edge_gateway.keeping.clearing import Clearing, Find, GcTimes, find
from edge_gateway.keeping.plan import KeepTimes
from edge_gateway.settings import EdgeSettings
from shared.errors import ConflictError, InvalidInputError, NotFoundError, VisemeError
from shared.lock import locked
from shared.settings import load

_DRY: Final = "--dry-run"
_SETTLED_S: Final = 3600.0
"""A file of a running edge without a row counts when it is as old: it may be about to get one."""


def main() -> None:
    """Do what the arguments say."""
    arguments = sys.argv[1:]
    try:
        lines = _gc(arguments)
    except VisemeError as error:
        told = {"reason": error.reason, "message": error.message, "field": error.field, "limit": error.limit}
        sys.stdout.write(json.dumps({"error": told}) + "\n")
        sys.exit(1)
    for line in lines:
        sys.stdout.write(json.dumps(line) + "\n")


def _gc(arguments: Sequence[str]) -> list[dict[str, object]]:
    flags = [one for one in arguments if one != _DRY]
    settings = load(EdgeSettings, program="viseme gc", prefix="VISEME_EDGE_", argv=flags, environ=os.environ)
    data = settings.data.resolve()
    if not (data / "edge.db").is_file():
        raise NotFoundError(f"there is no edge.db in {data}; name an edge's data folder with --data", field="data")
    edge_runs, found = _look(data, settings) if _DRY in arguments else (False, _clear(data, settings))
    told: list[dict[str, object]] = [
        {"kind": one.sort.value, "name": f"{where}{one.name}", "size_bytes": one.size_bytes} for where, one in found
    ]
    return [*told, {"dry_run": _DRY in arguments, "edge_runs": edge_runs, "data": str(data)}]


def _folders(data: Path) -> dict[str, Path]:
    """The folder itself, and those of the same layout that tenants have in it, by what is put before names."""
    tenants = sorted(file.parent for file in data.glob("tenants/*/edge.db"))
    return {"": data} | {f"{folder.relative_to(data)}/": folder for folder in tenants}


def _times(settings: EdgeSettings) -> GcTimes:
    return GcTimes(
        keep=KeepTimes(
            job_s=settings.job_keep_s,
            result_s=settings.result_keep_s,
            asset_s=settings.asset_keep_s,
            face_s=settings.face_keep_s,
        ),
        upload_s=settings.upload_expire_s,
        tus_s=settings.tus_expire_s,
        webhook_s=settings.webhook_keep_s,
    )


def _look(data: Path, settings: EdgeSettings) -> tuple[bool, list[tuple[str, Find]]]:
    """Whether an edge runs there, and what would go."""
    try:
        with locked(data):
            return False, _read_all(data, settings, 0.0)
    except ConflictError:
        return True, _read_all(data, settings, _SETTLED_S)


def _read_all(data: Path, settings: EdgeSettings, settled_s: float) -> list[tuple[str, Find]]:
    return [(at, one) for at, folder in _folders(data).items() for one in _read(folder, settings, settled_s)]


def _read(data: Path, settings: EdgeSettings, settled_s: float) -> list[Find]:
    # Where nobody writes and there is no log, nothing but the file need be opened, and nothing is made beside it.
    how = "mode=ro" if settled_s or (data / "edge.db-wal").exists() else "immutable=1"
    with closing(sqlite3.connect(f"file:{data / 'edge.db'}?{how}", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA:
            message = (
                f"{data / 'edge.db'} has schema {version} and this version of viseme knows {SCHEMA}; "
                "let the edge of this version open it once, or run the viseme that wrote it"
            )
            raise InvalidInputError(message, field="data")
        return find(connection, data, _times(settings), settled_s=settled_s)


def _clear(data: Path, settings: EdgeSettings) -> list[tuple[str, Find]]:
    try:
        with locked(data):
            return asyncio.run(_clear_locked(data, settings))
    except ConflictError:
        message = (
            f"an edge runs on {data} and lets go by itself, every minute, of what its own settings say (--job-keep-s "
            "and so on); to clear more away, stop it first, or look with --dry-run"
        )
        raise ConflictError(message, field="data") from None


async def _clear_locked(data: Path, settings: EdgeSettings) -> list[tuple[str, Find]]:
    gone: list[tuple[str, Find]] = []
    for at, folder in _folders(data).items():
        async with Database.open(folder / "edge.db") as database:
            found = await database.run(partial(find, data=folder, times=_times(settings)))
            clearing = Clearing(folder, database, settings.node, webhook_s=settings.webhook_keep_s)
            gone += [(at, one) for one in await clearing.clear(found)]
    return gone


if __name__ == "__main__":
    main()
