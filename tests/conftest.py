"""Fixtures for every test."""

from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """The folder of test clips beside the checkout (see its MANIFEST.md)."""
    folder = _CHECKOUT.parent / "shared" / "media"
    if not folder.is_dir():
        pytest.skip(f"the test clips are not on this machine: {folder} is missing")
    return folder
