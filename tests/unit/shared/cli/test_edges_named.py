"""Several edges on the command line."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from shared.cli.edges import named
from shared.cli.state import remember_edge, remembered_edge
from shared.sdk.model import JobState, Stage
from shared.sdk.testing import RESULT, FakeEdge, progress, state

ROOT = Path(__file__).resolve().parents[4]


def test_edges_are_named_one_by_one_or_with_commas() -> None:
    assert named(None) == []
    assert named(["a:1,b:2", "c:3 , "]) == ["a:1", "b:2", "c:3"]


def test_the_edge_that_was_taken_is_remembered_for_these_edges_and_an_hour(tmp_path: Path) -> None:
    assert remembered_edge(tmp_path, ["a:1", "b:2"]) is None
    remember_edge(tmp_path, ["a:1", "b:2"], "b:2")
    remember_edge(tmp_path, ["a:1", "c:3"], "c:3")
    assert remembered_edge(tmp_path, ["b:2", "a:1"]) == "b:2"
    assert remembered_edge(tmp_path, ["a:1", "c:3"]) == "c:3"
    assert remembered_edge(tmp_path, ["a:1"]) is None
    kept = json.loads((tmp_path / "edges.json").read_text())
    for one in kept.values():
        one["time"] -= 3600
    (tmp_path / "edges.json").write_text(json.dumps(kept))
    assert remembered_edge(tmp_path, ["b:2", "a:1"]) is None
    (tmp_path / "edges.json").write_text("no JSON")
    assert remembered_edge(tmp_path, ["b:2", "a:1"]) is None
    for number in range(40):
        remember_edge(tmp_path, ["a:1", f"b:{number}"], "a:1")
    assert len(json.loads((tmp_path / "edges.json").read_text())) == 16


async def start(home: Path, *arguments: str | Path, **environ: str) -> asyncio.subprocess.Process:
    kept = {name: value for name, value in os.environ.items() if name not in {"XDG_STATE_HOME", "VISEME_EDGE"}}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.cli", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **environ},
        cwd=home,
    )


async def test_a_job_goes_on_at_the_other_edge_which_is_said_and_remembered(tmp_path: Path) -> None:
    video, speech = tmp_path / "clip.mp4", tmp_path / "speech.wav"
    video.write_bytes(b"v" * 3_000_000)
    speech.write_bytes(b"s" * 1000)
    rendering = [state(JobState.RENDERING), progress(Stage.INFER, 5, 50)]
    async with FakeEdge(ids="other") as second, FakeEdge(script=rendering) as first:
        edges = f"{first.address},{second.address}"
        remember_edge(tmp_path / ".local" / "state" / "viseme", edges.split(","), first.address)
        command = ("dub", video, speech, "-o", tmp_path / "out.mp4", "--json")
        process = await start(tmp_path, *command, VISEME_EDGE=edges)
        assert process.stdout is not None
        told: list[dict[str, Any]] = []
        async for line in process.stdout:
            told.append(json.loads(line))
            if told[-1].get("done_frames") == 5:
                await first.stop()
        assert await process.wait() == 0
        changes = [one for one in told if one["event"] == "edge"]
        assert [(one["edge"], one["left"]) for one in changes if not one["file"]] == [
            (first.address, ""),
            (second.address, first.address),
        ]
        assert {Path(one["file"]).name: one["again_bytes"] for one in changes if one["file"]} == {
            "clip.mp4": 3_000_000,
            "speech.wav": 1000,
        }
        assert (tmp_path / "out.mp4").read_bytes() == RESULT
        assert remembered_edge(tmp_path / ".local" / "state" / "viseme", edges.split(",")) == second.address
        # The next command goes there at once, and says only what it was asked for.
        process = await start(tmp_path, "jobs", "--json", "--edge", first.address, "--edge", second.address)
        out, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert [json.loads(line)["id"] for line in out.splitlines()] == ["other-1"]
