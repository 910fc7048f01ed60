"""One sender: brings files one after the other over one connection and prints what each took.

    python -m tests.bench.transfer.sender plain|grpc|tus|tuspy HOST:PORT FILE... [--touch BYTES] [--plain-malloc]

The first file's time has the making of the connection in it. Prints a JSON list of :class:`Sent`.
"""

import argparse
import asyncio
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path

from tusclient.client import TusClient

import viseme
from shared.memory import KEEP_MESSAGES, set_malloc
from tests.bench.transfer.plain import SAFE, SIZE

BLOCK_BYTES = 256 << 10
_TOUCHED = bytes(1 << 20)
_TUSPY_CHUNK = 8 << 20
"""tuspy reads a chunk into memory as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One file on its way."""

    safe_s: float
    """Until the receiver had it on disk."""
    seconds: float
    """Until the receiver had also looked whether it is media, where it does."""
    cpu_s: float
    """Processor time of the sender."""


def touch(folder: Path, size: int) -> None:
    """Write a file that nobody wants and remove it, so that the next ones find memory that was just used.

    A virtual machine that returns free memory to its host pays for it when it takes it again: writing a new file cost
    1.3 to 2.9 s of processor time a GiB, and 0.23 after this. Without it, chance decides who pays.
    """
    if not size:
        return
    path = folder / "touched"
    with path.open("wb") as file:
        for _ in range(0, 2 * size, len(_TOUCHED)):
            file.write(_TOUCHED)
    path.unlink()


@contextmanager
def watched(path: Path, size: int) -> Iterator[tuple[Callable[[], None], list[Sent]]]:
    """Time what happens inside: a function that notes that all is safe, and where the figures are put."""
    touch(path.parent, size)
    figures: list[Sent] = []
    safe: list[float] = []
    begun, used = time.perf_counter(), time.process_time()
    yield lambda: safe.append(time.perf_counter() - begun), figures
    seconds = time.perf_counter() - begun
    figures.append(Sent(safe_s=(safe or [seconds])[0], seconds=seconds, cpu_s=time.process_time() - used))


def send_plain(address: str, paths: list[Path], size: int) -> list[Sent]:
    """By a plain socket."""
    host, _, port = address.rpartition(":")
    link: socket.socket | None = None
    all_figures = []
    for path in paths:
        with watched(path, size) as (_, figures):
            link = link or socket.create_connection((host, int(port)))
            link.sendall(SIZE.pack(path.stat().st_size))
            with path.open("rb", buffering=0) as file:
                while block := file.read(BLOCK_BYTES):
                    link.sendall(block)
            if link.recv(1) != SAFE:
                raise ConnectionError("the receiver went away")
        all_figures += figures
    if link is not None:
        link.close()
    return all_figures


async def send_grpc(address: str, paths: list[Path], size: int) -> list[Sent]:
    """By the SDK."""
    all_figures = []
    async with viseme.connect(address) as edge:
        for path in paths:
            with watched(path, size) as (safe, figures):

                def look(told: viseme.Transfer, safe: Callable[[], None] = safe) -> None:
                    if told.done_bytes == told.size_bytes:
                        safe()

                await edge.upload(path, on_progress=look)
            all_figures += figures
    return all_figures


def send_tus(address: str, paths: list[Path], size: int) -> list[Sent]:
    """By tus with one request for all bytes, as fast as a socket takes them."""
    host, _, port = address.rpartition(":")
    http = HTTPConnection(host, int(port), blocksize=BLOCK_BYTES)
    all_figures = []
    for path in paths:
        with watched(path, size) as (_, figures):
            length = str(path.stat().st_size)
            http.request("POST", "/files/", headers={"Tus-Resumable": "1.0.0", "Upload-Length": length})
            made = http.getresponse()
            made.read()
            headers = {
                "Tus-Resumable": "1.0.0",
                "Upload-Offset": "0",
                "Content-Type": "application/offset+octet-stream",
                "Content-Length": length,
            }
            with path.open("rb", buffering=0) as file:
                http.request("PATCH", made.headers["Location"], body=file, headers=headers)
            answer = http.getresponse()
            answer.read()
            if answer.headers["Viseme-Asset-Id"] is None:
                raise RuntimeError(f"the edge answered {answer.status}")
        all_figures += figures
    http.close()
    return all_figures


def send_tuspy(address: str, paths: list[Path], size: int) -> list[Sent]:
    """By tuspy."""
    all_figures = []
    for path in paths:
        with watched(path, size) as (_, figures), path.open("rb") as file:
            TusClient(f"http://{address}/files/").uploader(file_stream=file, chunk_size=_TUSPY_CHUNK).upload()
        all_figures += figures
    return all_figures


def main() -> None:
    """Send."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=["plain", "grpc", "tus", "tuspy"])
    parser.add_argument("address")
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--touch", type=int, default=0)
    parser.add_argument("--plain-malloc", action="store_true")
    given = parser.parse_args()
    if not given.plain_malloc:
        set_malloc(KEEP_MESSAGES, os.environ)
    if given.way == "grpc":
        sent = asyncio.run(send_grpc(given.address, given.paths, given.touch))
    else:
        send = {"plain": send_plain, "tus": send_tus, "tuspy": send_tuspy}[given.way]
        sent = send(given.address, given.paths, given.touch)
    print(json.dumps([asdict(one) for one in sent]))


if __name__ == "__main__":
    main()
