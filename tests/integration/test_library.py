"""The real edge with a folder that rsync fills and a bucket of a real S3 server: used by name, killed in the middle."""

import asyncio
import hashlib
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from shared.digest import CHUNK_BYTES, asset_id, chunk_digest
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import AssetServiceStub
from shared.pb.viseme.gateway.v1.job_pb2_grpc import JobServiceStub
from tests.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server
from tests.stack import Stack

CLIP = Path(__file__).resolve().parents[1] / "media" / "clip.mp4"


def padded(chunks: int, seed: int) -> bytes:
    """A real clip of so many chunks, most of which players skip."""
    clip = CLIP.read_bytes()
    size = chunks * CHUNK_BYTES - len(clip)
    noise = b"".join(hashlib.sha256(f"{seed} {number}".encode()).digest() * 1024 for number in range(size // 32768 + 1))
    return clip + struct.pack(">I4s", size, b"free") + noise[: size - 8]


def id_of(data: bytes) -> str:
    return asset_id(len(data), [chunk_digest(data[at : at + CHUNK_BYTES]) for at in range(0, len(data), CHUNK_BYTES)])


@dataclass(slots=True)
class Valve:
    """A TCP relay that lets so many bytes of the server through and then holds the rest back."""

    target: tuple[str, int]
    left: int
    passed: int = 0
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self.target)
        try:
            with suppress(ConnectionError):
                await asyncio.gather(self._up(reader, far_writer), self._down(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.transport.abort()
                with suppress(ConnectionError):
                    await end.wait_closed()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if len(data) > self.left:
                await self.opened.wait()
            self.left -= len(data)
            self.passed += len(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def valve(endpoint: str, left: int) -> AsyncIterator[tuple[Valve, str]]:
    host, _, port = endpoint.removeprefix("http://").rpartition(":")
    relay, serving = Valve((host, int(port)), left), set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.ensure_future(relay.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield relay, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def add(assets: AssetServiceStub, name: str) -> asset_pb2.Asset:
    answers = [answer async for answer in assets.AddAsset(asset_pb2.AddAssetRequest(name=name))]
    return answers[-1].asset


async def listed(assets: AssetServiceStub, library: str) -> dict[str, str]:
    answer = await assets.ListLibrary(asset_pb2.ListLibraryRequest(library=library))
    return {file.name: file.asset_id for file in answer.files}


async def test_a_bucket_is_used_by_name_and_a_killed_edge_goes_on(s3: S3Server, tmp_path: Path) -> None:
    store, data, config = s3.store(), padded(24, 1), tmp_path / "edge.toml"
    await store.put_async("films/anna.mp4", data)
    # Two ends, two runs of eight chunks, and a part of the third run.
    async with valve(s3.endpoint, 19 * CHUNK_BYTES) as (link, endpoint):
        config.write_text(
            f'[library.stock]\nurl = "s3://clips/films"\nendpoint = "{endpoint}"\nregion = "{REGION}"\n'
            f'access_key_id = "{ACCESS_KEY}"\nsecret_access_key = "{SECRET_KEY}"\n'
        )
        with Stack(with_node=False, edge_flags=("--config", str(config))) as stack:
            async with grpc.aio.insecure_channel(stack.edge) as channel:
                assets: AssetServiceStub = AssetServiceStub(channel)
                cut = asyncio.create_task(add(assets, "lib:stock/anna.mp4"))
                await _held(assets, 16)
                stack.kill("edge")
                with pytest.raises(grpc.aio.AioRpcError):
                    await cut
            link.opened.set()
            link.passed = 0
            stack.start("edge")
            async with grpc.aio.insecure_channel(stack.edge) as channel:
                assets, jobs = AssetServiceStub(channel), JobServiceStub(channel)
                asset = await add(assets, "lib:stock/anna.mp4")
                assert asset.asset_id == id_of(data)
                assert asset.kind == asset_pb2.ASSET_KIND_VIDEO
                assert link.passed < 12 * CHUNK_BYTES, "chunks that were safe were read again"
                assert await listed(assets, "stock") == {"lib:stock/anna.mp4": asset.asset_id}
                request = job_pb2.SubmitJobRequest(
                    video_asset_id="lib:stock/anna.mp4", speech_asset_id="lib:stock/anna.mp4"
                )
                job = (await jobs.SubmitJob(request)).job
                assert (job.video_asset_id, job.speech_asset_id) == (asset.asset_id, asset.asset_id)
                await store.put_async("films/anna.mp4", padded(3, 2))
                assert await listed(assets, "stock") == {"lib:stock/anna.mp4": ""}
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await jobs.SubmitJob(request)
                assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
                assert (await add(assets, "lib:stock/anna.mp4")).asset_id == id_of(padded(3, 2))
            said = stack.log("edge")
        assert SECRET_KEY not in said
        assert ACCESS_KEY not in said


async def _held(assets: AssetServiceStub, count: int) -> None:
    """Wait until so many chunks of the newest asset are safe."""
    held = 0
    while held < count:
        for asset in (await assets.ListAssets(asset_pb2.ListAssetsRequest())).assets:
            answer = await assets.GetAsset(asset_pb2.GetAssetRequest(asset_id=asset.asset_id))
            held = sum(run.count for run in answer.held)


async def test_a_store_that_refuses_its_key_is_told_apart_from_a_file_that_is_not_there(
    s3: S3Server, tmp_path: Path
) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        f'[library.stock]\nurl = "s3://clips"\nendpoint = "{s3.endpoint}"\nregion = "{REGION}"\n'
        'access_key_id = "unknownkey"\nsecret_access_key = "wrongsecret"\n'
    )
    with Stack(with_node=False, edge_flags=("--config", str(config))) as stack:
        async with grpc.aio.insecure_channel(stack.edge) as channel:
            assets: AssetServiceStub = AssetServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await listed(assets, "stock")
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "InvalidAccessKeyId" in (refused.value.details() or "")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await add(assets, "lib:stock/a.mp4")
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "unknownkey" not in stack.log("edge")


@dataclass(slots=True)
class Copying:
    """An rsync that is under way, slowly."""

    process: "subprocess.Popen[bytes]"

    def begun(self, folder: Path) -> None:
        """Wait until something is in an empty folder, and hold it there."""
        while not any(folder.iterdir()):
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.01)
                pytest.fail("rsync ended before it began")
        os.killpg(self.process.pid, signal.SIGSTOP)

    def finish(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)
        assert self.process.wait(60) == 0


@pytest.fixture
def rsync() -> Iterator[Callable[..., Copying]]:
    """Begins to copy; nothing of it is left after the test."""
    program = shutil.which("rsync")
    if program is None:
        pytest.skip("rsync is not installed")
    begun: list[Copying] = []

    def copy(source: Path, target: Path, *flags: str) -> Copying:
        command = [program, "-t", "--bwlimit=4000", *flags, str(source), str(target)]
        begun.append(Copying(subprocess.Popen(command, start_new_session=True)))
        return begun[-1]

    yield copy
    for copying in begun:
        with suppress(ProcessLookupError):
            os.killpg(copying.process.pid, signal.SIGKILL)
        copying.process.wait()


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Stack]:
    (tmp_path / "clips").mkdir()
    flags = ("--library", f"clips={tmp_path / 'clips'}", "--library-settle-s", "0.5")
    with Stack(with_node=False, edge_flags=flags) as stack:
        yield stack


async def test_a_folder_is_used_while_rsync_fills_it(
    rsync: Callable[..., Copying], edge: Stack, tmp_path: Path
) -> None:
    source, target = tmp_path / "anna.mp4", tmp_path / "clips" / "anna.mp4"
    source.write_bytes(padded(4, 1))
    async with grpc.aio.insecure_channel(edge.edge) as channel:
        assets: AssetServiceStub = AssetServiceStub(channel)
        filling = rsync(source, target)
        filling.begun(target.parent)
        assert [path.name.startswith(".anna.mp4.") for path in target.parent.iterdir()] == [True]
        assert await listed(assets, "clips") == {}
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await add(assets, "lib:clips/anna.mp4")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        filling.finish()
        first = await add(assets, "lib:clips/anna.mp4")
        assert first.asset_id == id_of(padded(4, 1))

        # Another content of the same size and the same time, written into the file itself while it is asked for.
        stamp = source.stat().st_mtime
        source.write_bytes(padded(4, 2))
        os.utime(source, (stamp, stamp))
        filling = rsync(source, target, "--inplace", "--ignore-times", "--whole-file")
        asked = asyncio.create_task(add(assets, "lib:clips/anna.mp4"))
        await asyncio.to_thread(filling.finish)
        with suppress(grpc.aio.AioRpcError):
            await asked
        second = await add(assets, "lib:clips/anna.mp4")
        assert second.asset_id == id_of(padded(4, 2))
        held = await assets.GetAsset(asset_pb2.GetAssetRequest(asset_id=first.asset_id))
        assert held.asset.state == asset_pb2.ASSET_STATE_READY
