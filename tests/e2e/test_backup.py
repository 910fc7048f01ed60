"""The backup of the operator's guide, by its own commands, of an edge that runs, and one that goes on from it."""

import asyncio
import os
import re
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import viseme
from tests.stack import Stack

pytestmark = pytest.mark.stack

_GUIDE = Path(__file__).resolve().parents[2] / "deploy" / "guide.md"


def _do(what: str, data: Path, backup: Path) -> None:
    """What the guide says is to be typed."""
    found = re.search(rf"^```bash {what}\n(.*?)^```", _GUIDE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert found
    environment = {**os.environ, "DATA": str(data), "BACKUP": str(backup)}
    subprocess.run(["bash", "-euo", "pipefail", "-c", found[1]], env=environment, check=True, timeout=120)


def _files(root: Path) -> set[str]:
    """All but what an edge makes anew at its start."""
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return {file for file in files if not re.search(r"\.db-|\.lock$|(^|/)(faces|pictures)/", file)}


@contextmanager
def _tenant(folder: Path) -> Iterator[None]:
    """A folder of the same layout that is written to meanwhile."""
    for name in ("assets/a/media", "signing/key.pem", "faces/f/track.jsonl"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(name.encode())
    (folder / "signing" / "key.pem").chmod(0o600)
    with closing(sqlite3.connect(folder / "edge.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE kept (word TEXT)")
        database.execute("INSERT INTO kept VALUES ('in the log')")
        assert (folder / "edge.db-wal").stat().st_size > 0
        yield


async def test_an_edge_goes_on_from_its_backup(clip: Path, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    with Stack(folder=tmp_path / "first", with_node=False) as first:
        async with viseme.connect(first.edge) as edge:
            asset = await edge.upload(clip)
            job = await edge.dub(asset, speech)
            # Its database is written to meanwhile, and its log holds what the file does not yet.
            assert (first.root / "edge" / "edge.db-wal").stat().st_size > 0
            data, backup = first.root / "edge", tmp_path / "backup"
            backup.mkdir()
            (data / "keys.toml").write_text("[keys]\n")
            with _tenant(data / "tenants" / "acme"):
                await asyncio.to_thread(_do, "backup", data, backup)
            assert _files(backup) == _files(data)
            await asyncio.to_thread(_do, "restore", tmp_path / "second" / "edge", backup)
            certificate = (first.root / "edge" / "signing" / "certificate.pem").read_bytes()
            kept = [one.id async for one in edge.assets.list()]
        first.kill("edge")
    tenant = tmp_path / "second" / "edge" / "tenants" / "acme"
    assert stat.S_IMODE((tenant / "signing" / "key.pem").stat().st_mode) == 0o600
    assert not (tenant / "faces").exists()
    with closing(sqlite3.connect(tenant / "edge.db")) as database:
        assert database.execute("SELECT word FROM kept").fetchall() == [("in the log",)]
    with Stack(folder=tmp_path / "second", with_node=False) as second:
        async with viseme.connect(second.edge) as edge:
            assert [one.id async for one in edge.assets.list()] == kept
            copy = await edge.assets.save(asset.id, tmp_path / "copy.mp4")
            assert Path(copy).read_bytes() == clip.read_bytes()
            again = await edge.job(job.id)
            assert (await again.refresh()).state not in {viseme.JobState.FAILED, viseme.JobState.CANCELLED}
        assert (second.root / "edge" / "signing" / "certificate.pem").read_bytes() == certificate
