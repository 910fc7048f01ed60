"""``viseme gc`` on the folder of a real edge: stopped, running, and none at all."""

import asyncio
import hashlib
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.caller import CLIP
from tests.integration.test_edge_gateway import EchoNode
from tests.integration.test_http_jobs import serving
from tests.integration.test_keeping import finished, status

SOON = ("--job-keep", "0.001s", "--face-keep", "0.001s")
STRANGER = "f" * 64


async def gc(data: Path, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Its exit code, what it printed, and what it complained of."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.cli", "gc", "--data", str(data), "--json", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    return process.returncode or 0, lines, err.decode() + out.decode()


def content(data: Path) -> dict[str, str]:
    return {
        str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(data.rglob("*"))
        if path.is_file()
    }


async def test_it_lists_and_then_clears_what_is_due_and_what_belongs_to_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller:
        job_id, result_id, video_id = await finished(caller)
        open_id = await caller.begin_upload(1000, "never.mp4")
        await caller.append(open_id, 0, bytes(10))
        (tmp_path / "other.mp4").write_bytes(CLIP.read_bytes() + b"\x00\x00\x00\x08free")
        lost = await caller.upload(tmp_path / "other.mp4")
    (tmp_path / "assets" / STRANGER).mkdir()
    (tmp_path / "assets" / STRANGER / "media").write_bytes(bytes(5000))
    (tmp_path / "assets" / lost / "media").unlink()
    with closing(sqlite3.connect(tmp_path / "edge.db")) as connection, connection:
        connection.execute("UPDATE running_time SET us = us + 60000000")  # it ran for one minute more
    before = content(tmp_path)

    code, told, words = await gc(tmp_path, "--dry-run", *SOON)
    assert code == 0, words
    assert content(tmp_path) == before
    *items, end = told
    assert (end["dry_run"], end["edge_runs"]) == (True, False)
    found = {(item["kind"], item["name"]) for item in items}
    assert found >= {("job", job_id), ("file", f"assets/{STRANGER}"), ("row", lost)}
    assert {kind for kind, _ in found} == {"job", "face", "file", "row"}
    assert end["kinds"]["job"] == {"count": 1, "size_bytes": (tmp_path / "assets" / result_id / "media").stat().st_size}
    assert end["kinds"]["file"]["size_bytes"] >= 5000

    code, told, words = await gc(tmp_path, *SOON)
    assert code == 0, words
    assert {(item["kind"], item["name"]) for item in told[:-1]} == found
    for name in (f"assets/{result_id}", f"assets/{STRANGER}", f"assets/{lost}"):
        assert not (tmp_path / name).exists()
    assert not list((tmp_path / "faces").iterdir())
    with closing(sqlite3.connect(tmp_path / "edge.db")) as connection:
        assert connection.execute("SELECT job_id FROM deleted_jobs").fetchall() == [(job_id,)]
    code, told, words = await gc(tmp_path, *SOON, "--dry-run")
    assert (code, len(told)) == (0, 1), words

    async with serving(tmp_path) as caller:
        assert await status(caller, f"/jobs/{job_id}") == 404
        assert await status(caller, f"/assets/{video_id}") == 200


async def test_folders_of_tenants_are_cleared_as_well(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "tenants" / "acme"):
        async with serving(folder):
            pass
    stray = tmp_path / "tenants" / "acme" / "pictures" / f"{STRANGER}.jpg"
    stray.write_bytes(b"picture")
    code, told, words = await gc(tmp_path)
    assert code == 0, words
    assert [item["name"] for item in told[:-1]] == [f"tenants/acme/pictures/{STRANGER}.jpg"]
    assert not stray.exists()


async def test_a_running_edge_can_be_looked_at_and_says_what_to_do(tmp_path: Path) -> None:
    async with serving(tmp_path, EchoNode()) as caller:
        job_id, _, _ = await finished(caller)
        (tmp_path / "assets" / STRANGER).mkdir()  # perhaps one that is being made
        code, told, words = await gc(tmp_path, "--dry-run", "--job-keep", "0.001")
        assert code == 0, words
        assert told[-1]["edge_runs"] is True
        # By the clock of the edge's running time, which is written down once a minute.
        assert {item["kind"] for item in told[:-1]} <= {"job"}
        code, _, words = await gc(tmp_path, "--job-keep", "0.001")
        assert code != 0
        assert "stop it first" in words
        assert await status(caller, f"/jobs/{job_id}") == 200


async def test_a_folder_that_is_no_edges_and_one_of_another_version_are_left_alone(tmp_path: Path) -> None:
    code, _, words = await gc(tmp_path)
    assert code != 0
    assert "there is no edge.db" in words
    assert list(tmp_path.iterdir()) == []
    with closing(sqlite3.connect(tmp_path / "edge.db")) as connection:
        connection.execute("PRAGMA user_version = 999")
    for arguments in ((), ("--dry-run",)):
        code, _, words = await gc(tmp_path, *arguments)
        assert code != 0
        assert "schema 999" in words
    code, _, words = await gc(tmp_path, "--job-keep", "soon")
    assert code != 0
    assert "30d" in words
