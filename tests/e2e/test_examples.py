"""Every block of the page for integrators runs as it stands there."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.clips import look
from tests.stack import Stack

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "deploy" / "examples.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


PROGRAMS = blocks("python")
COMMANDS = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    return number


@pytest.fixture(scope="module")
def own(port: int) -> Iterator[Stack]:
    with Stack(edge_flags=("--webhook-hosts", f"127.0.0.1:{port}")) as running:
        yield running


@pytest.fixture(scope="module")
def desk(clip: Path, portrait: Path, short_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    shutil.copy(clip, folder / "clip.mp4")
    shutil.copy(portrait, folder / "other.mp4")
    shutil.copy(short_speech, folder / "speech.wav")
    (folder / "clips").mkdir()
    for name in "ab":
        shutil.copy(clip, folder / "clips" / f"{name}.mp4")
        shutil.copy(short_speech, folder / "clips" / f"{name}.wav")
    return folder


def run(desk: Path, stack: Stack, *command: str) -> str:
    secret = (stack.root / "edge" / "webhook.secret").read_text().strip()
    own = {"VISEME_EDGE": stack.edge, "PYTHONPATH": str(ROOT), "VISEME_WEBHOOK_SECRET": secret}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=desk,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_runs(own: Stack, desk: Path, port: int, number: int) -> None:
    text = PROGRAMS[number]
    assert "127.0.0.1:50051" in text
    (desk / "example.py").write_text(text.replace("127.0.0.1:50051", own.edge).replace("8787", str(port)))
    told = run(desk, own, "example.py")
    if "webhook=" in text:
        assert told.startswith("job.succeeded job-")
    if "dub_many" in text:
        assert "missing.mp4: video: " in told
        assert {path.name for path in desk.glob("result-*.mp4")} == {"result-0.mp4", "result-1.mp4"}
    if "none-such" in text:
        assert told.startswith("invalid_input options.engine ")
    for name in re.findall(r'save\("(.*?)"\)', text):
        assert look(desk / name).frames > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(own: Stack, desk: Path, command: str) -> None:
    words = command.removeprefix("viseme ")
    told = run(desk, own, "-m", "shared.cli", *words.split())
    if "-o results" in command:
        assert {path.name for path in (desk / "results").glob("*.mp4")} == {"a.mp4", "b.mp4"}
    if words.startswith("faces"):
        assert '"asset"' in told


def test_there_is_something_to_run() -> None:
    assert len(PROGRAMS) >= 7
    assert len(COMMANDS) >= 6


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    (tmp_path / "viseme").write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m shared.cli "$@"\n')
    (tmp_path / "viseme").chmod(0o755)
    script = """
    eval "$(viseme --show-completion)"
    complete_words() {
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        _viseme_completion viseme
        echo "${COMPREPLY[*]}"
    }
    complete_words viseme ba
    complete_words viseme batch --sp
    complete_words viseme webhooks re
    complete -p viseme
    """
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[:3] == ["batch", "--speech", "replay"]
    assert "_viseme_completion" in done.stdout
