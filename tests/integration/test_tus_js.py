"""tus-js-client and Uppy, unmodified from npm, against the real edge over a link that is reset."""

import asyncio
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.digest import CHUNK_BYTES, asset_id, chunk_digest
from tests.relay import relay
from tests.stack import Stack

HERE = Path(__file__).resolve().parent
CLIP = HERE.parent / "media" / "clip.mp4"
CUTS = (700_000, 900_000, 1_100_000, 5_000, 800_000)
INSTALL_SECONDS = 120
UPLOAD_SECONDS = 60
HEADER_BYTES = 16 << 10


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the clients in it."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("npm and node are not installed")
    folder = tmp_path_factory.mktemp("tus-js") / "clients"
    shutil.copytree(HERE / "tus_js", folder)
    command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install the clients within {INSTALL_SECONDS} s")
    if done.returncode:
        pytest.skip(f"npm cannot install the clients here: {done.stderr.strip()[-500:]}")
    return folder


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with Stack(with_node=False) as stack:
        yield stack.parts["edge"].ready.addresses["web"]


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, str]:
    """A clip of 6 MiB, new to the edge, and the asset's id that it has."""
    data = CLIP.read_bytes() + struct.pack(">I4s", 6 << 20, b"free") + os.urandom((6 << 20) - 8)
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    return path, asset_id(len(data), map(chunk_digest, chunks))


async def run(clients: Path, script: str, way: str, address: str, path: Path) -> dict[str, object]:
    process = await asyncio.create_subprocess_exec(
        "node",
        script,
        way,
        f"http://{address}/files/",
        str(path),
        cwd=clients,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(UPLOAD_SECONDS):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    told: dict[str, object] = json.loads(output)
    return told


@pytest.mark.parametrize("way", ["whole", "chunks", "creation", "parallel", "override", "uppy"])
async def test_a_client_goes_on_after_resets(clients: Path, web: str, large: tuple[Path, str], way: str) -> None:
    path, expected = large
    script = "uppy.mjs" if way == "uppy" else "upload.mjs"
    cuts = () if way == "creation" else CUTS  # what came with a creation that was cut is nobody's
    async with relay(web, cuts) as (link, address):
        assert await run(clients, script, way, address, path) == {"asset": expected}
        assert link.cuts == []
        again = link.up_bytes - path.stat().st_size
    assert again <= len(cuts) * CHUNK_BYTES + HEADER_BYTES


async def test_an_aborted_upload_is_gone(clients: Path, web: str, large: tuple[Path, str]) -> None:
    assert await run(clients, "upload.mjs", "abort", web, large[0]) == {"status": 404}
