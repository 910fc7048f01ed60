"""Five cuts in one upload, by gRPC, tus-js-client and tuspy: what crosses a relay on loopback beyond the file itself.

The relay counts what it passes on and resets both ends. ``again`` has everything in it that came twice, and the
protocol's own bytes, which an upload without cuts shows.
"""

import asyncio
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import viseme
from shared.digest import CHUNK_BYTES
from tests.bench.transfer import table
from tests.bench.transfer.large import make_file, renew
from tests.relay import relay
from tests.stack import Stack

CUTS = 5
CLIENTS = Path(__file__).resolve().parents[2] / "integration" / "tus_js"
_TUSPY = """
import sys
from tusclient.client import TusClient
with open(sys.argv[2], "rb") as file:
    TusClient(sys.argv[1]).uploader(file_stream=file, chunk_size=8 << 20, retries=30, retry_delay=0).upload()
"""


def places(size: int, seed: int) -> list[int]:
    """After how many bytes, counted from the last cut on, the link is cut."""
    chance = random.Random(seed)
    part = size // (CUTS + 1)
    return [chance.randrange(part // 2, part) for _ in range(CUTS)]


async def by_grpc(address: str, path: Path, _clients: Path) -> None:
    """The SDK."""
    async with viseme.connect(address) as edge:
        await edge.upload(path)


async def _run(*command: str, folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=subprocess.DEVNULL)
    if await process.wait():
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")


async def by_tus_js(address: str, path: Path, clients: Path) -> None:
    """tus-js-client, with one request for all bytes."""
    await _run("node", "upload.mjs", "whole", f"http://{address}/files/", str(path), folder=clients)


async def by_tuspy(address: str, path: Path, clients: Path) -> None:
    """tuspy, 8 MiB a request."""
    await _run(sys.executable, "-c", _TUSPY, f"http://{address}/files/", str(path), folder=clients)


async def bytes_up(target: str, way: str, path: Path, clients: Path, cuts: list[int]) -> int:
    """Upload once through a relay; gives what crossed it."""
    async with relay(target, cuts) as (link, address):
        await {"grpc": by_grpc, "tus-js": by_tus_js, "tuspy": by_tuspy}[way](address, path, clients)
        if link.cuts:
            raise RuntimeError("the upload ended before every cut was made")
        return link.up_bytes


def install(folder: Path) -> bool:
    """Install tus-js-client; False where npm is missing or cannot."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return False
    shutil.copytree(CLIENTS, folder)
    command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error"]
    return subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL).returncode == 0


def show(size: int) -> None:
    """The table."""
    with tempfile.TemporaryDirectory(prefix="viseme-bench-") as name, Stack(with_node=False) as stack:
        folder = Path(name)
        clients = folder / "clients"
        ways = {"gRPC": "grpc", "tus-js-client": "tus-js", "tuspy": "tuspy"}
        if not install(clients):
            print("tus-js-client is left out: npm cannot install it here.\n")
            del ways["tus-js-client"]
            clients.mkdir(exist_ok=True)
        path = make_file(folder / "file.mp4", size)
        addresses = stack.parts["edge"].ready.addresses
        print(
            f"{size / 1e6:.0f} MB, {CUTS} cuts, KiB beyond the file's own bytes; at most {CHUNK_BYTES >> 10} a cut.\n"
        )
        table.head("client", "without cuts", "with five", "again a cut", "worst of three uploads, a cut")
        for title, way in ways.items():
            target = addresses["rpc" if way == "grpc" else "web"]
            whole = asyncio.run(bytes_up(target, way, renew(path), clients, []))
            again = [
                asyncio.run(bytes_up(target, way, renew(path), clients, places(size, seed))) - whole
                for seed in range(3)
            ]
            table.row(
                title,
                f"{(whole - size) / 1024:.0f}",
                f"{table.middle(again, float) / 1024 + (whole - size) / 1024:.0f}",
                f"{table.middle(again, float) / CUTS / 1024:.0f}",
                f"{max(again) / CUTS / 1024:.0f}",
            )
