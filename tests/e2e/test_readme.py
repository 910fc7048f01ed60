"""What the README says to type works as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.clips import look
from tests.cast import beside, film, pictures, somebody_else
from tests.stack import Stack

try:
    import torch
except ImportError:
    torch = None
else:
    from tests.wav2lip import copying_network, random_network, save

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
CARD = (ROOT / "deploy" / "networks.md").read_text()


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def desk(tmp_path: Path, clip: Path, short_speech: Path) -> Path:
    """A folder that holds the files of which the README speaks."""
    shutil.copy(clip, tmp_path / "clip.mp4")
    for name in ("speech.wav", "anna.wav", "berta.wav"):
        shutil.copy(short_speech, tmp_path / name)
    (tmp_path / "clips").mkdir()
    shutil.copy(clip, tmp_path / "clips" / "a.mp4")
    shutil.copy(short_speech, tmp_path / "clips" / "a.wav")
    people = pictures(clip, width=400, height=480, count=50)
    film(tmp_path / "talk.mp4", beside(people, somebody_else(people)))
    (tmp_path / "boxes.json").write_text('[{"t": 0, "box": [0.1, 0.1, 0.3, 0.4]}]')
    if torch is not None:
        save(random_network(divisor=16), tmp_path / "wav2lip_gan.pth")
        copying_network(tmp_path / "mouth.onnx")
        (card,) = _blocks("toml", CARD)
        (tmp_path / "mouth.toml").write_text(card)
    return tmp_path


def test_the_commands_run(stack: Stack, models: Path, desk: Path) -> None:
    lines = [line.partition("#")[0].strip() for block in _blocks("sh") for line in block.splitlines()]
    commands = [line.split() for line in lines if line.startswith("viseme ") and line != "viseme up"]
    assert len(commands) >= 3
    if torch is None:
        commands = [command for command in commands if not {"import", "wav2lip_gan"} & set(command)]
    where = {
        "VISEME_EDGE": stack.edge,
        "VISEME_EDGE_DATA": str(stack.root / "edge"),
        "VISEME_NODE_MODELS": str(models),
        "PYTHONPATH": str(ROOT),
    }
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "shared.cli", *command[1:]],
            cwd=desk,
            env={**os.environ, **where},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
    assert look(desk / "out.mp4").frames > 0


def test_the_python_example_runs(stack: Stack, desk: Path) -> None:
    (example,) = _blocks("python")
    assert "127.0.0.1:50051" in example
    (desk / "example.py").write_text(example.replace("127.0.0.1:50051", stack.edge))
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=desk,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert look(desk / "out.mp4").frames > 0


def test_make_demo_makes_the_portrait_speak(tmp_path: Path) -> None:
    output = tmp_path / "hello.mp4"
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(
        ["make", "demo", f"DEMO_OUT={output}"],
        cwd=ROOT,
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert look(output).frames == 199


def test_the_files_that_it_names_are_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
