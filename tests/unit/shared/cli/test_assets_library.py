"""``viseme assets add`` and ``viseme assets library``, against a fake edge on a real port."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from shared.cli.dub import DubOrder, check_no_names, file_or_name
from shared.cli.exits import ExitCode
from shared.errors import InvalidInputError
from shared.sdk.model import FitMode
from shared.sdk.testing import FakeEdge

ROOT = Path(__file__).resolve().parents[4]
LIBRARY = {"lib:teachers/anna.mp4": b"anna", "lib:teachers/c/carla\x1b.mp4": b"carla", "lib:stock/a.wav": b"speech"}


async def viseme(folder: Path, *arguments: str) -> tuple[int, str, str]:
    environ = {name: value for name, value in os.environ.items() if name not in {"VISEME_EDGE", "XDG_STATE_HOME"}}
    environ |= {"HOME": str(folder), "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "shared.cli", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
        cwd=folder,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_libraries_and_their_files_are_listed_and_added(tmp_path: Path) -> None:
    async with FakeEdge(library=LIBRARY) as fake:
        edge = ("--edge", fake.address)
        assert (await viseme(tmp_path, "assets", "library", *edge))[:2] == (0, "stock\nteachers\n")
        _, listed, _ = await viseme(tmp_path, "assets", "library", "teachers", *edge)
        assert [line.split()[-1] for line in listed.splitlines()] == [
            "lib:teachers/anna.mp4",
            "lib:teachers/c/carla?.mp4",
        ]
        _, below, _ = await viseme(tmp_path, "assets", "library", "lib:teachers/c", "--json", *edge)
        assert json.loads(below)["name"] == "lib:teachers/c/carla\x1b.mp4"
        code, added, _ = await viseme(
            tmp_path, "assets", "add", "lib:teachers/anna.mp4", "stock/a.wav", "--json", *edge
        )
        assert code == 0
        told = [json.loads(line) for line in added.splitlines()]
        assert [one["added"] for one in told if "added" in one] == ["lib:teachers/anna.mp4", "lib:stock/a.wav"]
        code, _, said = await viseme(tmp_path, "assets", "add", "lib:teachers/nobody.mp4", *edge)
        assert code == ExitCode.BAD_INPUT
        assert "no such file" in said


async def test_dub_takes_names_and_files(tmp_path: Path) -> None:
    (tmp_path / "speech.wav").write_bytes(b"spoken here")
    async with FakeEdge(library=LIBRARY) as fake:
        arguments = ("dub", "lib:teachers/anna.mp4", "speech.wav", "-o", "out.mp4", "--edge", fake.address)
        code, _, said = await viseme(tmp_path, *arguments)
        assert code == 0, said
        assert fake.received_bytes == len(b"spoken here")
    assert (tmp_path / "out.mp4").exists()


def test_a_name_wants_an_edge_and_a_path_is_none(tmp_path: Path) -> None:
    assert file_or_name("lib:a/x.mp4") == "lib:a/x.mp4"
    assert file_or_name("./lib:a/x.mp4") == Path("lib:a/x.mp4")
    order = DubOrder(
        video=Path("clip.mp4"),
        speech="lib:a/x.wav",
        output=tmp_path / "out.mp4",
        edge=None,
        fit=FitMode.BOUNCE,
        keep_length=False,
        engine="",
        rate_limit=0,
        report=None,
        preview=None,
        as_json=False,
        words=("viseme",),
        plain=True,
    )
    with pytest.raises(InvalidInputError, match="--edge HOST:PORT") as refused:
        check_no_names(order)
    assert refused.value.field == "speech"
