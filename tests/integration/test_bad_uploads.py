"""Uploads by gRPC that go wrong, against the real edge as a process: clear statuses, bounded memory."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import psutil
import pytest

from shared.digest import CHUNK_BYTES, asset_id, chunk_digest
from shared.errors import DeadlineError, InvalidInputError, LimitExceededError, VisemeError
from shared.pb.viseme.gateway.v1 import asset_pb2 as pb
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import AssetServiceStub
from shared.rpc.address import parse_address
from shared.rpc.channel import END, open_channel
from shared.rpc.channel import send as write
from shared.rpc.status import from_rpc_error
from tests.stack import Stack

pytestmark = pytest.mark.stack

CLIP = Path(__file__).resolve().parents[1] / "media" / "clip.mp4"
STREAMS = 200
GROWTH_BYTES = 96 << 20
"""What the edge may take more for all of it: gRPC keeps some 40 KiB a stream, Python's heap the rest."""


@pytest.fixture(scope="module")
def edge() -> Iterator[Stack]:
    with Stack(with_node=False, edge_flags=("--upload-idle-s", "3", "--uploads-buffer-bytes", str(16 << 20))) as stack:
        yield stack


@asynccontextmanager
async def assets_of(stack: Stack) -> AsyncIterator[AssetServiceStub]:
    async with open_channel(parse_address(stack.edge, field="edge"), own_connection=True) as channel:
        yield AssetServiceStub(channel)


def memory_of(stack: Stack) -> int:
    return psutil.Process(stack.parts["edge"].process.pid).memory_info().rss


def padded(size: int) -> bytes:
    """A real clip followed by bytes that players skip."""
    return CLIP.read_bytes() + struct.pack(">I4s", size, b"free") + os.urandom(size - 8)


def chunks_of(data: bytes) -> list[bytes]:
    return [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]


def manifest_of(data: bytes) -> pb.UploadRequest:
    digests = map(chunk_digest, chunks_of(data))
    return pb.UploadRequest(
        manifest=pb.Manifest(size_bytes=len(data), chunk_bytes=CHUNK_BYTES, chunk_digests=digests, display_name="x.mp4")
    )


def piece(chunk: int, data: bytes, offset: int = 0) -> pb.UploadRequest:
    return pb.UploadRequest(piece=pb.ChunkPiece(chunk_index=chunk, offset_bytes=offset, data=data))


async def send(assets: AssetServiceStub, requests: Iterable[pb.UploadRequest]) -> list[pb.UploadResponse]:
    return [answer async for answer in assets.Upload(iter(requests))]


async def refused(assets: AssetServiceStub, requests: Iterable[pb.UploadRequest]) -> VisemeError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(assets, requests)
    return from_rpc_error(caught.value)


async def upload(assets: AssetServiceStub, data: bytes) -> pb.Asset:
    answers = await send(assets, [manifest_of(data), *(piece(at, chunk) for at, chunk in enumerate(chunks_of(data)))])
    return answers[-1].complete.asset


@pytest.mark.parametrize("begins", [True, False])
async def test_many_clients_that_say_nothing_are_sent_away_and_others_served_meanwhile(
    edge: Stack, *, begins: bool
) -> None:
    async with assets_of(edge) as silent, assets_of(edge) as assets:
        await upload(assets, CLIP.read_bytes())
        before = memory_of(edge)
        calls = [silent.Upload() for _ in range(STREAMS)]
        if begins:
            for number, call in enumerate(calls):
                await call.write(manifest_of(bytes([number]) * (2 * CHUNK_BYTES)))
                await call.write(piece(0, bytes([number])))
        await upload(assets, padded(1 << 20))
        errors = await asyncio.gather(*(error_of(call) for call in calls))
        assert memory_of(edge) - before < GROWTH_BYTES
    assert {(type(error), error.limit) for error in errors} == {(DeadlineError, "upload_idle_s")}


async def error_of(call: "grpc.aio.StreamStreamCall[pb.UploadRequest, pb.UploadResponse]") -> VisemeError:
    try:
        while await call.read() is not END:
            pass
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    raise AssertionError("the call ended well")


@pytest.mark.parametrize("count", [100_000, 1_000_000], ids=["a message", "more than a message"])
async def test_a_manifest_of_a_million_chunks_is_refused_with_the_limit(edge: Stack, count: int) -> None:
    digests = [b"d" * 32] * count
    manifest = pb.Manifest(size_bytes=count * CHUNK_BYTES, chunk_bytes=CHUNK_BYTES, chunk_digests=digests)
    async with assets_of(edge) as assets, grpc.aio.insecure_channel(edge.edge) as channel:
        error = await refused(AssetServiceStub(channel), [pb.UploadRequest(manifest=manifest)])
        assert isinstance(error, LimitExceededError)
        assert not error.retryable
        if count == 100_000:
            assert error.limit in {"asset_bytes", "manifest_chunks"}
        else:
            assert error.limit == "message_bytes"
            assert str(4 << 20) in error.message
        await upload(assets, CLIP.read_bytes())


async def test_the_same_chunk_again_with_other_bytes_changes_nothing(edge: Stack) -> None:
    data = padded(3 << 20)
    first, *rest = chunks_of(data)
    async with assets_of(edge) as assets:
        requests = [manifest_of(data), piece(0, first), piece(0, bytes(CHUNK_BYTES))]
        answers = await send(assets, [*requests, *(piece(at, chunk) for at, chunk in enumerate(rest, 1))])
        asset = answers[-1].complete.asset
        download = assets.Download(pb.DownloadRequest(asset_id=asset.asset_id))
        assert b"".join([answer.data async for answer in download]) == data


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ([piece(0, bytes(CHUNK_BYTES))], "piece.data"),
        ([piece(0, b"x" * CHUNK_BYTES), piece(0, b"x", CHUNK_BYTES)], "piece.data"),
        ([piece(0, b"x" * 1000), piece(0, b"x" * CHUNK_BYTES, 1000)], "piece.data"),
        ([piece(0, b"x", 5)], "piece.offset_bytes"),
        ([piece(0, b"x", 1 << 31)], "piece.offset_bytes"),
        ([piece(99, b"x")], "piece.chunk_index"),
        ([pb.UploadRequest(manifest=pb.Manifest(size_bytes=1))], "piece"),
        ([pb.UploadRequest()], "piece"),
    ],
    ids=["digest", "beyond its end", "over its end", "gap", "far away", "no such chunk", "manifest again", "nothing"],
)
async def test_pieces_that_do_not_fit_are_refused_and_what_was_acknowledged_stays(
    edge: Stack, wrong: list[pb.UploadRequest], field: str
) -> None:
    data = padded(3 << 20)
    chunks = chunks_of(data)
    async with assets_of(edge) as assets:
        call = assets.Upload()
        await call.write(manifest_of(data))
        await call.write(piece(2, chunks[2]))
        while (answer := await call.read()) is not END and not answer.HasField("persisted"):
            pass
        for request in wrong:
            await write(call, request)
        error = await error_of(call)
        assert isinstance(error, InvalidInputError)
        assert error.field == field
        answers = await send(assets, [manifest_of(data), *(piece(at, chunks[at]) for at in (0, 1, 3))])
        assert [(run.first, run.count) for run in answers[0].start.held] == [(2, 1)]
        assert answers[-1].complete.asset.size_bytes == len(data)


async def test_a_client_that_never_reads_is_no_burden_and_its_bytes_are_safe(edge: Stack) -> None:
    data = padded(40 << 20)
    async with assets_of(edge) as assets:
        before = memory_of(edge)
        call = assets.Upload()
        await call.write(manifest_of(data))
        for at, chunk in enumerate(chunks_of(data)):
            await call.write(piece(at, chunk))
        await call.done_writing()
        named = asset_id(len(data), list(map(chunk_digest, chunks_of(data))))
        while (await assets.GetAsset(pb.GetAssetRequest(asset_id=named))).asset.state != pb.ASSET_STATE_READY:
            pass
        assert memory_of(edge) - before < GROWTH_BYTES
        call.cancel()
