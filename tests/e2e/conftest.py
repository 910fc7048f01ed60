"""One stack of real programs for the whole suite, and the committed media."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with Stack() as running:
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
