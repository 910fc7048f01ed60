"""The committed media."""

import wave
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def clip() -> Path:
    return ROOT / "tests" / "media" / "clip.mp4"


@pytest.fixture(scope="session")
def speech() -> Path:
    return ROOT / "deploy" / "demo" / "speech.wav"


@pytest.fixture(scope="session")
def long_speech(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute, so that a job is far from its end when its first frames are composited."""
    path = tmp_path_factory.mktemp("speech") / "long.wav"
    with wave.open(str(speech)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getnframes()) * 4)
    return path
