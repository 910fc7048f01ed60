"""`viseme engines ...` as a process: what it asks the node's program, and how it tells the answer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.cli.exits import ExitCode
from shared.cli.places import Places

ROOT = Path(__file__).resolve().parents[4]


def cli(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "VISEME_EDGE": "127.0.0.1:1"}
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "VISEME_NODE_MODELS"):
        environ.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "shared.cli", "engines", *words],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def test_the_engines_of_this_machine_are_listed(tmp_path: Path) -> None:
    listed = cli(tmp_path, "list")
    assert listed.returncode == 0
    warp = next(line for line in listed.stdout.splitlines() if line.startswith("warp"))
    assert "320" in warp
    assert "Apache-2.0" in warp
    told = json.loads(cli(tmp_path, "show", "warp", "--json").stdout)
    assert (told["name"], told["own"], len(told["source"])) == ("warp", False, 64)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "none"], "there are: viseme, warp"),
        (["remove", "--", "-none"], "no network '-none' of yours"),
        (["import", "wav2lip", "absent.pth"], "absent.pth is not a file"),
        (["import", "onnx", "absent.onnx", "--card", "absent.toml"], "absent.toml cannot be read"),
    ],
)
def test_what_cannot_be_is_bad_input_with_the_reason(tmp_path: Path, words: list[str], said: str) -> None:
    done = cli(tmp_path, *words)
    assert done.returncode == ExitCode.BAD_INPUT
    assert said in done.stderr


def test_the_folder_is_the_users_or_the_one_that_the_node_was_told(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert Places.of(home).models == tmp_path / ".local" / "share" / "viseme" / "engines"
    assert Places.of(home | {"VISEME_NODE_MODELS": "/srv/own"}).models == Path("/srv/own")
