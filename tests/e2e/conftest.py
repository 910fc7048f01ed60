"""One stack of real programs for the whole suite, and the committed media."""

import shutil
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import Stack

SHORT_SECONDS = 2.0
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the stack's own networks, empty at first."""
    return tmp_path_factory.mktemp("own") / "models"


@pytest.fixture(scope="session")
def teachers(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of which the README speaks."""
    folder = tmp_path_factory.mktemp("teachers")
    for name in ("anna.mp4", "berta.mp4"):
        shutil.copy(clip, folder / name)
    return folder


@pytest.fixture(scope="session")
def stack(models: Path, teachers: Path) -> Iterator[Stack]:
    libraries = ("--library", f"demo={ROOT / 'deploy' / 'demo'}", "--library", f"teachers={teachers}")
    with Stack(edge_flags=libraries, node_flags=("--models", str(models))) as running:
        yield running


@pytest.fixture(scope="session")
def portrait() -> Path:
    return ROOT / "deploy" / "demo" / "portrait.jpg"


@pytest.fixture(scope="session")
def speech() -> Path:
    return ROOT / "deploy" / "demo" / "speech.wav"


@pytest.fixture(scope="session")
def clip() -> Path:
    return ROOT / "tests" / "media" / "clip.mp4"


@pytest.fixture(scope="session")
def short_speech(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "short.wav"
    with wave.open(str(speech)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(int(source.getframerate() * SHORT_SECONDS)))
    return path
