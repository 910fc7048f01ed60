"""Health, reflection, drain, addresses."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from shared.errors import ConflictError, InternalError, InvalidInputError, QueueFullError
from shared.pb.viseme.gateway.v1 import job_pb2, job_pb2_grpc
from shared.rpc import ready
from shared.rpc.address import parse_address, parse_listen
from shared.rpc.channel import open_channel
from shared.rpc.server import RpcServer
from shared.rpc.status import from_rpc_error

SERVICE = "viseme.gateway.v1.JobService"


class Endless(job_pb2_grpc.JobServiceServicer):
    """A session that ends only when the server drains, or never."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.end = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def Session(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        self.begun.set()
        try:
            yield job_pb2.SessionResponse()
            await self.end.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        yield job_pb2.SessionResponse()


async def test_health_and_reflection_answer() -> None:
    rpc = RpcServer(parse_listen("127.0.0.1:0"), services=[SERVICE], grace_s=0)
    async with rpc.serving() as address, open_channel(address) as channel:
        assert address.port > 0
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        await rpc.set_serving(serving=False)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = await call.read()
        assert SERVICE in {service.name for service in listed.list_services_response.service}
        call.cancel()


async def test_a_drain_lets_a_running_stream_end() -> None:
    servicer = Endless()
    rpc = RpcServer(parse_listen("127.0.0.1:0"), services=[SERVICE], grace_s=30)
    job_pb2_grpc.add_JobServiceServicer_to_server(servicer, rpc.server)
    address = await rpc.start()
    async with open_channel(address) as channel:
        call = job_pb2_grpc.JobServiceStub(channel).Session()
        await call.read()
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        draining = asyncio.create_task(rpc.drain())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        await rpc.draining.wait()
        servicer.end.set()
        await call.read()
        assert await call.read() is grpc.aio.EOF
        await draining
    assert not servicer.cancelled.is_set()


async def test_a_drain_cancels_what_does_not_end() -> None:
    servicer = Endless()
    rpc = RpcServer(parse_listen("127.0.0.1:0"), services=[SERVICE], grace_s=0.05)
    job_pb2_grpc.add_JobServiceServicer_to_server(servicer, rpc.server)
    address = await rpc.start()
    async with open_channel(address) as channel:
        call = job_pb2_grpc.JobServiceStub(channel).Session()
        await call.read()
        await rpc.drain()
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
        await servicer.cancelled.wait()


async def test_a_second_server_on_a_port_is_refused() -> None:
    first = RpcServer(parse_listen("127.0.0.1:0"), services=[], grace_s=0)
    async with first.serving() as address:
        with pytest.raises(ConflictError, match="in use"):
            await RpcServer(address, services=[]).start()


@pytest.mark.parametrize(
    ("text", "shown", "loopback"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051", True),
        ("localhost:0", "localhost:0", True),
        ("[::1]:7860", "[::1]:7860", True),
        ("0.0.0.0:1", "0.0.0.0:1", False),
        ("[::]:1", "[::]:1", False),
        ("edge.example:65535", "edge.example:65535", False),
        ("127.8.9.1", "127.8.9.1:9", True),
        ("::1", "[::1]:9", True),
    ],
)
def test_addresses_are_read(text: str, shown: str, loopback: bool) -> None:
    address = parse_address(text, field="edge", default_port=9)
    assert str(address) == shown
    assert address.is_loopback is loopback


@pytest.mark.parametrize("text", ["", ":1", "host:", "host:99999", "host:x", "[::1:5", "[::1]5", "host:-1", "host:²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        parse_address(text, field="node")
    assert raised.value.field == "node"


def test_listening_wider_needs_the_word() -> None:
    with pytest.raises(InvalidInputError, match="--insecure"):
        parse_listen("0.0.0.0:50051")
    assert parse_listen("0.0.0.0:50051", insecure=True).port == 50051


def test_a_service_says_on_a_pipe_that_it_is_ready() -> None:
    reading, writing = os.pipe()
    said = ready.Ready(part="edge", addresses={"rpc": "127.0.0.1:1"})
    ready.announce(said, writing)
    with os.fdopen(reading) as pipe:
        assert ready.parse(pipe.read()) == said
    ready.announce(said, None)
    with pytest.raises(InternalError):
        ready.parse("Traceback")


async def test_all_four_kinds_of_call_pass_the_interceptor() -> None:
    def failing(kind: str) -> Any:
        async def one(_request: Any, _context: Any) -> bytes:
            raise QueueFullError(kind, retry_after_s=1)

        async def many(_request: Any, _context: Any) -> AsyncIterator[bytes]:
            yield b"first"
            raise QueueFullError(kind, retry_after_s=1)

        return many if kind.endswith("stream") else one

    rpc = RpcServer(parse_listen("127.0.0.1:0"), services=[], grace_s=0)
    kinds = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
    handlers = {kind: getattr(grpc, f"{kind}_rpc_method_handler")(failing(kind)) for kind in kinds}
    rpc.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("kinds", handlers)])
    async with rpc.serving() as address, open_channel(address) as channel:
        for kind in kinds:
            method = getattr(channel, kind)(f"/kinds/{kind}")
            call = method(b"x") if kind.startswith("unary") else method(iter([b"x"]))
            if kind.endswith("stream"):
                assert await call.read() == b"first"
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await (call.read() if kind.endswith("stream") else call)
            back = from_rpc_error(raised.value)
            assert (type(back), back.message, back.retry_after_s) == (QueueFullError, kind, 1)
