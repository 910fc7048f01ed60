"""Every gRPC call of edge and node, given what no client of ours sends: each gets an answer that is no fault."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import grpc
import pytest
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from edge_gateway.app import edge
from edge_gateway.settings import EdgeSettings
from inference_node.app import running_node
from inference_node.settings import EngineRuntime, NodeSettings
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2, network_pb2
from shared.pb.viseme.inference.v1 import render_pb2
from tests.security.messages import fill

ROUNDS = 40
STREAMED = 6
ANSWER_S = 2.0
OURS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNIMPLEMENTED}
OF_THE_CLIENT = "Internal error from Core"
"""What grpc's client says, in place of the status, when it wrote to a call that had ended."""


def services(*files: FileDescriptor) -> Iterator[ServiceDescriptor]:
    for file in files:
        yield from file.services_by_name.values()


async def ask(channel: grpc.aio.Channel, method: MethodDescriptor, requests: list[bytes]) -> tuple[str, str]:
    """The status and the words with which a call ends; silence counts as OK where the call may wait for more."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    kinds = (method.client_streaming, method.server_streaming)
    try:
        async with asyncio.timeout(ANSWER_S):
            if kinds == (False, False):
                await channel.unary_unary(path)(requests[0])
            elif kinds == (False, True):
                async for _ in channel.unary_stream(path)(requests[0]):
                    pass
            else:
                assert kinds == (True, True), "a kind of call that nobody here knows"
                return await talk(channel.stream_stream(path)(), requests)
    except TimeoutError:
        return "OK", ""
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


async def talk(call: grpc.aio.StreamStreamCall, requests: list[bytes]) -> tuple[str, str]:
    """Say everything, as long as the other end listens."""
    try:
        for request in requests:
            await call.write(request)
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it has ended; the status says how
        pass
    return (await call.code()).name, await call.details() or ""


async def attack(channel: grpc.aio.Channel, method: MethodDescriptor) -> None:
    """Send one method everything."""
    kind = GetMessageClass(method.input_type)
    for seed in range(ROUNDS):
        chance = Random(f"{method.full_name} {seed}")
        if seed % 4 == 0:
            requests = [chance.randbytes(chance.choice((0, 1, 40, 3000))) for _ in range(STREAMED)]
        else:
            requests = [fill(kind(), chance).SerializeToString() for _ in range(STREAMED)]
        code, words = await ask(channel, method, requests)
        is_fault = code in {status.name for status in OURS} and words != OF_THE_CLIENT
        assert not is_fault, f"{method.full_name}, seed {seed}: {code}: {words}\n{requests!r:.2000}"


@pytest.mark.parametrize(
    "method",
    [method for one in services(*(m.DESCRIPTOR for m in (asset_pb2, job_pb2, network_pb2))) for method in one.methods],
    ids=lambda method: method.full_name,
)
async def test_the_edge_answers_whatever_it_is_asked(tmp_path: Path, method: MethodDescriptor) -> None:
    loopback = dict.fromkeys(("listen", "web", "metrics"), "127.0.0.1:0")
    settings = EdgeSettings.model_validate({**loopback, "node": "127.0.0.1:9", "data": tmp_path, "grace_seconds": 0.2})
    async with edge(settings) as addresses, grpc.aio.insecure_channel(str(addresses.rpc)) as channel:
        await attack(channel, method)
        await channel.unary_unary("/viseme.gateway.v1.AssetService/GetCapabilities")(b"")


@pytest.mark.parametrize(
    "method",
    [method for one in services(render_pb2.DESCRIPTOR) for method in one.methods],
    ids=lambda method: method.full_name,
)
async def test_the_node_answers_whatever_it_is_asked(tmp_path: Path, method: MethodDescriptor) -> None:
    loopback = dict.fromkeys(("listen", "metrics"), "127.0.0.1:0")
    settings = NodeSettings.model_validate(
        {**loopback, "data": tmp_path, "grace_seconds": 0.2, "engine_runtime": EngineRuntime.LOCAL, "engine": "warp"}
    )
    async with running_node(settings) as node, grpc.aio.insecure_channel(str(node.rpc)) as channel:
        await attack(channel, method)
        await channel.unary_unary("/viseme.inference.v1.RenderService/GetStatus")(b"")
