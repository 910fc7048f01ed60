"""What watching costs: p50 of a unary call, client and server in one process, with metrics and traces and without.

``python -m tests.bench.watching``. The four take turns in rounds, so that a noisy machine disturbs all of them alike.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import grpc

from edge_gateway.identity import Identity
from edge_gateway.rpc.network import NetworkServicer
from edge_gateway.ways import Ways
from shared.pb.viseme.gateway.v1 import network_pb2 as pb
from shared.pb.viseme.gateway.v1.network_pb2_grpc import (
    NetworkServiceStub,
    add_NetworkServiceServicer_to_server,
)
from shared.rpc.address import Address, parse_address, parse_listen
from shared.rpc.channel import open_channel
from shared.rpc.server import SERVER_OPTIONS, RpcServer
from shared.telemetry import tracing
from shared.telemetry.metrics import CallMetrics, new_registry
from shared.telemetry.start import traced
from tests.collector import collector

ROUNDS = 60
CALLS = 100


@dataclass(slots=True)
class Way:
    """One kind of server."""

    name: str
    address: Address
    is_traced: bool
    p50: list[float]
    cpu: list[float]


def _servicer() -> NetworkServicer:
    identity = Identity(version="0", name="here", region="", address=lambda: "", engines=lambda: ())
    return NetworkServicer(identity, Ways([]), 1 << 20)


async def _bare(stack: AsyncExitStack) -> Address:
    server = grpc.aio.server(options=list(SERVER_OPTIONS))
    add_NetworkServiceServicer_to_server(_servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    return parse_address(f"127.0.0.1:{port}", field="bare")


async def _ours(stack: AsyncExitStack, observe: Callable[[str, str, float, str], None] | None) -> Address:
    extra = {} if observe is None else {"observe": observe}
    rpc = RpcServer(parse_listen("127.0.0.1:0"), services=[], begins_traces=True, grace_s=0, **extra)  # type: ignore[arg-type]
    add_NetworkServiceServicer_to_server(_servicer(), rpc.server)
    return await stack.enter_async_context(rpc.serving())


async def _round(way: Way) -> None:
    async with open_channel(way.address) as channel:
        stub = NetworkServiceStub(channel)
        await stub.ListEdges(pb.ListEdgesRequest())
        times, cpu = [], time.process_time()
        for _ in range(CALLS):
            begun = time.perf_counter()
            with tracing.span("ListEdges", kind=tracing.Kind.CLIENT):
                await stub.ListEdges(pb.ListEdgesRequest(), metadata=tracing.metadata())
            times.append(time.perf_counter() - begun)
        way.cpu.append((time.process_time() - cpu) / CALLS)
        way.p50.append(statistics.median(times))


async def _run(tracer: tracing.Tracer) -> None:
    metrics = CallMetrics(new_registry(), {"edge": "here", "region": ""})
    async with AsyncExitStack() as stack:
        ways = [
            Way("grpc.aio alone", await _bare(stack), is_traced=False, p50=[], cpu=[]),
            Way("errors", await _ours(stack, None), is_traced=False, p50=[], cpu=[]),
            Way("errors, metrics", await _ours(stack, metrics), is_traced=False, p50=[], cpu=[]),
            Way("errors, metrics, traces", await _ours(stack, metrics), is_traced=True, p50=[], cpu=[]),
        ]
        for _ in range(ROUNDS):
            for way in ways:
                tracing.use(tracer if way.is_traced else None)
                await _round(way)
        print("| server | p50 us | CPU us a call |")
        print("|---|---|---|")
        for way in ways:
            print(f"| {way.name} | {statistics.median(way.p50) * 1e6:.0f} | {statistics.median(way.cpu) * 1e6:.0f} |")


def main() -> None:
    """Print the table."""
    with collector() as keeps, traced(keeps.endpoint, part="bench"):
        asyncio.run(_run(tracing._tracer))


if __name__ == "__main__":
    main()
