"""The SDK and the real edge over a link that is cut again and again: nothing is lost, little is sent twice."""

import asyncio
import contextlib
import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import viseme
from shared.digest import CHUNK_BYTES
from shared.sdk.upload import WINDOW_CHUNKS
from tests.stack import Stack

pytestmark = pytest.mark.stack

CLIP = Path(__file__).resolve().parents[1] / "media" / "clip.mp4"
PATIENCE = viseme.Patience(first_delay_s=0.02, longest_delay_s=0.1)


class CutLink:
    """Forwards TCP to an edge; breaks all its connections after so many bytes, in turn."""

    def __init__(self, target: str, cuts: list[int]) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.cuts = cuts
        self.up_bytes = 0
        self.down_bytes = 0
        self._since_cut = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        ends = {writer, far_writer}
        self._writers |= ends
        try:
            await asyncio.gather(
                self._forward(reader, far_writer, up=True), self._forward(far_reader, writer, up=False)
            )
        finally:
            for end in ends:
                end.close()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()

    def cut(self) -> None:
        """Break every connection."""
        self._since_cut = 0
        for end in self._writers:
            end.transport.abort()
        self._writers.clear()

    async def end(self) -> None:
        """Break every connection and wait until all is closed."""
        self.cut()
        await asyncio.gather(*self.serving)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if up:
                    self.up_bytes += len(data)
                else:
                    self.down_bytes += len(data)
                self._since_cut += len(data)
                writer.write(data)
                await writer.drain()
                if self.cuts and self._since_cut >= self.cuts[0]:
                    self.cuts.pop(0)
                    self.cut()
        writer.close()


@asynccontextmanager
async def cut_link(target: str, cuts: list[int]) -> AsyncIterator[tuple[CutLink, str]]:
    link = CutLink(target, cuts)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link.serving.add(asyncio.ensure_future(link.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield link, f"127.0.0.1:{port}"
    finally:
        server.close()
        await link.end()


@pytest.fixture(scope="module")
def lone_edge() -> Iterator[Stack]:
    with Stack(with_node=False) as stack:
        yield stack


@pytest.fixture(scope="module")
def large_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real clip followed by 48 MiB that players skip."""
    path = tmp_path_factory.mktemp("large") / "large.mp4"
    path.write_bytes(CLIP.read_bytes() + struct.pack(">I4s", (48 << 20) + 8, b"free") + os.urandom(48 << 20))
    return path


async def test_cuts_cost_no_more_than_what_was_in_flight(lone_edge: Stack, large_clip: Path, tmp_path: Path) -> None:
    size = large_clip.stat().st_size
    async with (
        cut_link(lone_edge.edge, [12 << 20] * 4) as (link, address),
        viseme.connect(address, patience=PATIENCE) as edge,
    ):
        told: list[viseme.Transfer] = []
        asset = await edge.upload(large_clip, on_progress=told.append)
        assert link.cuts == []
        assert asset.kind is viseme.AssetKind.VIDEO
        assert [transfer.done_bytes for transfer in told] == sorted(transfer.done_bytes for transfer in told)
        assert link.up_bytes <= size + 4 * WINDOW_CHUNKS * CHUNK_BYTES + (1 << 20)

        link.cuts[:] = [3 << 20] * 4
        await edge.assets.save(asset.id, tmp_path / "back.mp4")
        assert link.cuts == []
        assert (tmp_path / "back.mp4").read_bytes() == large_clip.read_bytes()


async def test_an_upload_goes_on_after_the_edge_was_killed(lone_edge: Stack, large_clip: Path) -> None:
    """What the edge acknowledged it has, even after `kill -9`."""
    changed = large_clip.with_name("other.mp4")
    changed.write_bytes(large_clip.read_bytes() + struct.pack(">I4s", (8 << 20) + 8, b"free") + os.urandom(8 << 20))
    acknowledged: list[int] = []
    async with viseme.connect(lone_edge.edge, patience=PATIENCE) as edge:
        killed = False

        def once(transfer: viseme.Transfer) -> None:
            nonlocal killed
            acknowledged.append(transfer.done_bytes)
            if not killed and transfer.done_bytes >= 5 << 20:
                killed = True
                lone_edge.kill("edge")
                lone_edge.start("edge")

        asset = await edge.upload(changed, on_progress=once)
        assert killed
        assert asset.state is viseme.AssetState.READY
        assert acknowledged == sorted(acknowledged)
