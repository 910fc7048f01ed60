"""Most memory of edge and node: under slow uploads, and under clients that stop reading.

MiB that the processes hold alone (unique set size), with the edge's sandboxed children and the node's Triton.
"""

import asyncio
import tempfile
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import grpc

import viseme
from shared.pb.viseme.gateway.v1 import asset_pb2, asset_pb2_grpc, job_pb2, job_pb2_grpc
from tests.bench.job import resident
from tests.bench.transfer import camera, table
from tests.bench.transfer.large import MIB, make_file
from tests.stack import Stack

UPLOADS = 20
SLOW = 256 << 10
SLOW_S = 20.0
SPEECH_S = 30


def most(stack: Stack, work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """The most that edge and node hold while something is done."""
    worker = threading.Thread(target=lambda: asyncio.run(_await(work)))
    worker.start()
    peaks = [0.0, 0.0]
    while worker.is_alive():
        for number, name in enumerate(("edge", "node")):
            peaks[number] = max(peaks[number], resident(stack.parts[name].process.pid))
        worker.join(0.3)
    return peaks[0], peaks[1]


async def _await(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def slow_uploads(address: str, paths: list[Path]) -> None:
    """Uploads of a low rate each; they are not waited for to the end."""
    with suppress(TimeoutError):
        async with viseme.connect(address) as edge, asyncio.timeout(SLOW_S):
            await asyncio.gather(*(edge.upload(path, rate_limit=SLOW) for path in paths))


async def upload(address: str, path: Path) -> None:
    """One upload as fast as it goes."""
    async with viseme.connect(address) as edge:
        await edge.upload(path)


async def job(address: str, speech: Path, *, stall: bool) -> None:
    """A job; beside its client, one that asks for its events, its preview and an earlier result and reads nothing."""
    async with AsyncExitStack() as opened:
        edge = await opened.enter_async_context(viseme.connect(address))
        large = [asset async for asset in edge.assets.list(kind=viseme.AssetKind.VIDEO)]
        done = await edge.dub(camera.MEDIA / "v07_dhlive_000002_720x1080_25.mp4", speech)
        if stall:
            channel = await opened.enter_async_context(grpc.aio.insecure_channel(address))
            jobs = job_pb2_grpc.JobServiceStub(channel)
            session = jobs.Session()
            await session.write(job_pb2.SessionRequest(subscribe=job_pb2.Subscribe(job_id=done.id, after_sequence=0)))
            calls = [session, jobs.Preview(job_pb2.PreviewRequest(job_id=done.id))]
            files = asset_pb2_grpc.AssetServiceStub(channel)
            calls += [files.Download(asset_pb2.DownloadRequest(asset_id=asset.id)) for asset in large]
            for call in calls:
                opened.callback(call.cancel)
        await done.wait()


def show(size: int) -> None:
    """The table."""
    speech = camera.speech(SPEECH_S)
    with tempfile.TemporaryDirectory(prefix="viseme-bench-") as name, Stack() as stack:
        folder = Path(name)
        paths = [make_file(folder / f"{number}.mp4", 8 * MIB) for number in range(UPLOADS)]
        fast = make_file(folder / "fast.mp4", size)
        table.head("at most, MiB", "edge", "node")
        for title, work in (
            ("idle", lambda: asyncio.sleep(1)),
            (f"{UPLOADS} uploads at 256 KiB/s", lambda: slow_uploads(stack.edge, paths)),
            (f"{size / MIB:.0f} MiB as fast as they go", lambda: upload(stack.edge, fast)),
            (f"a job of {SPEECH_S} s", lambda: job(stack.edge, speech, stall=False)),
            (
                "the same once more, and a client that reads neither events nor preview nor downloads",
                lambda: job(stack.edge, speech, stall=True),
            ),
        ):
            edge, node = most(stack, work)
            table.row(title, f"{edge:.0f}", f"{node:.0f}")
