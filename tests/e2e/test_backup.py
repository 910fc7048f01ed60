"""The backup of the operator's guide, by its own commands, of an edge that runs, and one that goes on from it."""

import asyncio
import os
import re
import subprocess
from pathlib import Path

import pytest

import viseme
from tests.stack import Stack

pytestmark = pytest.mark.stack

_GUIDE = Path(__file__).resolve().parents[2] / "deploy" / "guide.md"


def _back_up(data: Path, backup: Path) -> None:
    found = re.search(r"^```bash backup\n(.*?)^```", _GUIDE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert found
    backup.mkdir(parents=True)
    environment = {**os.environ, "DATA": str(data), "BACKUP": str(backup)}
    subprocess.run(["bash", "-euc", found[1]], env=environment, check=True, timeout=120)


async def test_an_edge_goes_on_from_its_backup(clip: Path, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    with Stack(folder=tmp_path / "first", with_node=False) as first:
        async with viseme.connect(first.edge) as edge:
            asset = await edge.upload(clip)
            job = await edge.dub(asset, speech)
            # Its database is written to meanwhile, and its log holds what the file does not yet.
            assert (first.root / "edge" / "edge.db-wal").stat().st_size > 0
            await asyncio.to_thread(_back_up, first.root / "edge", tmp_path / "second" / "edge")
            certificate = (first.root / "edge" / "signing" / "certificate.pem").read_bytes()
            kept = [one.id async for one in edge.assets.list()]
        first.kill("edge")
    with Stack(folder=tmp_path / "second", with_node=False) as second:
        async with viseme.connect(second.edge) as edge:
            assert [one.id async for one in edge.assets.list()] == kept
            copy = await edge.assets.save(asset.id, tmp_path / "copy.mp4")
            assert Path(copy).read_bytes() == clip.read_bytes()
            again = await edge.job(job.id)
            assert (await again.refresh()).state not in {viseme.JobState.FAILED, viseme.JobState.CANCELLED}
        assert (second.root / "edge" / "signing" / "certificate.pem").read_bytes() == certificate
