"""Which of several nodes a stream goes to, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from edge_gateway.jobs.node import Meter
from edge_gateway.node_member import Member, Standing
from edge_gateway.node_pool import NodePool
from edge_gateway.nodes import GrpcNode
from edge_gateway.settings import EdgeSettings
from shared.errors import InvalidInputError, NodeUnavailableError, ResourceExhaustedError
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceServicer, add_RenderServiceServicer_to_server
from shared.rpc.address import Address, parse_address
from shared.rpc.server import RpcServer
from shared.settings import load
from tests.silence import silence

SERVICE = "viseme.inference.v1.RenderService"


class Told(RenderServiceServicer):
    """Says of itself what it is told to."""

    def __init__(self, name: str, engines: tuple[str, ...] = ("viseme",), queued: int = 0) -> None:
        self.name = name
        self.engines = engines
        self.queued = queued
        self.triton = pb.TRITON_STATE_READY

    async def GetStatus(self, request: pb.GetStatusRequest, context: object) -> pb.GetStatusResponse:
        del request, context
        return pb.GetStatusResponse(
            node=self.name,
            triton=self.triton,
            queued_segments=self.queued,
            queue_limit=64,
            engines=[
                pb.EngineInfo(name=name, is_default=index == 0, crop_px=256) for index, name in enumerate(self.engines)
            ],
        )


@asynccontextmanager
async def pool_of(*nodes: Told, absent: int = 0) -> AsyncIterator[tuple[NodePool, list[str]]]:
    async with AsyncExitStack() as stack:
        addresses = []
        for node in nodes:
            rpc = RpcServer(Address(host="127.0.0.1", port=0), services=[SERVICE], grace_s=0.1)
            add_RenderServiceServicer_to_server(node, rpc.server)
            addresses.append(await stack.enter_async_context(rpc.serving()))
        addresses += [Address(host="127.0.0.1", port=1 + index) for index in range(absent)]
        yield await stack.enter_async_context(NodePool.open(addresses)), [str(address) for address in addresses]


async def taken(pool: NodePool, engine: str = "") -> str:
    async with pool.render(Meter(), engine) as stream:
        return stream.address


async def fails(pool: NodePool) -> str:
    """Where a stream was that fails."""
    address = ""
    with suppress(NodeUnavailableError):
        async with pool.render(Meter()) as stream:
            address = stream.address
            raise NodeUnavailableError("it fell over")
    return address


async def test_a_stream_goes_where_the_queue_is_shortest_and_counts_there() -> None:
    async with pool_of(Told("a", queued=3), Told("b", queued=1)) as (pool, (first, second)):
        await pool.status()
        async with pool.render(Meter()) as one, pool.render(Meter()) as two, pool.render(Meter()) as three:
            assert [one.address, two.address] == [second, second]
            assert three.address in {first, second}
            async with pool.render(Meter()) as four:
                assert {three.address, four.address} >= {first}
        assert [member.streams for member in pool.members] == [0, 0]


async def test_a_node_that_fails_is_left_alone_and_the_other_taken() -> None:
    async with pool_of(Told("a"), Told("b", queued=9)) as (pool, (first, second)):
        await pool.status()
        assert pool.has_another(first)
        assert await fails(pool) == first
        assert await taken(pool) == second
        assert not pool.has_another(second)
        assert pool.counts() == {Standing.READY: 1, Standing.DOWN: 0, Standing.EJECTED: 1, Standing.DRAINING: 0}


async def test_a_node_that_does_not_answer_or_whose_networks_do_not_is_passed_by() -> None:
    unready = Told("b")
    unready.triton = pb.TRITON_STATE_DOWN
    async with pool_of(unready, Told("a", queued=50), absent=1) as (pool, (_, ready, _)):
        status = await pool.status()
        assert await taken(pool) == ready
        assert (pool.is_up, status.engine_ready, status.queued_segments, status.queue_limit) == (True, True, 50, 128)


async def test_a_job_goes_to_a_node_that_has_its_engine_also_when_another_waits_less() -> None:
    async with pool_of(Told("a"), Told("b", engines=("viseme", "mine"), queued=20)) as (pool, (first, second)):
        status = await pool.status()
        assert [(card.name, card.is_default) for card in status.engines] == [("viseme", True), ("mine", False)]
        assert [card.name for card in pool.engines()] == ["viseme", "mine"]
        assert (await taken(pool, "mine"), await taken(pool, "viseme")) == (second, first)
        assert await taken(pool, "nobodys") == first  # which says so


async def test_where_no_node_answers_that_is_told_and_one_is_tried_all_the_same() -> None:
    async with pool_of(absent=2) as (pool, (first, _)):
        assert pool.address == "127.0.0.1:1, 127.0.0.1:2"
        with pytest.raises(NodeUnavailableError):
            await pool.status()
        assert (pool.is_up, pool.round_trip_s, pool.engines()) == (False, None, ())
        assert await taken(pool) == first


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_node_is_left_alone_for_longer_each_time_until_it_renders() -> None:
    clock = Clock()
    async with GrpcNode.open(Address(host="127.0.0.1", port=1), on_up=lambda _: None, on_down=lambda _: None) as node:
        member = Member(node, clock)
        times = []
        for _ in range(8):
            member.failed(NodeUnavailableError("gone"))
            member.failed(NodeUnavailableError("the same death, seen by another stream"))
            times.append(member.aside_s)
            clock.now += member.aside_s
            assert member.standing is Standing.DOWN
        assert times == [1, 2, 4, 8, 16, 32, 60, 60]
        member.rendered(0.5)
        member.failed(NodeUnavailableError("gone"))
        assert member.aside_s == 1


async def test_a_node_that_drains_gets_no_more_until_it_answers_again() -> None:
    async with pool_of(Told("a"), Told("b", queued=5)) as (pool, (first, second)):
        await pool.status()
        drained, _ = pool.members
        drained.drains()
        assert drained.standing is Standing.DRAINING
        assert await taken(pool) == second
        await pool.status()
        assert await taken(pool) == first


async def test_a_full_node_is_left_alone_as_long_as_it_asks_and_one_that_wants_the_call_again_is_not() -> None:
    clock = Clock()
    async with GrpcNode.open(Address(host="127.0.0.1", port=1), on_up=lambda _: None, on_down=lambda _: None) as node:
        member = Member(node, clock)
        member.failed(NodeUnavailableError("the node needs crops again", retry_after_s=0.5))
        assert member.aside_s == 0
        member.failed(ResourceExhaustedError("full", retry_after_s=2))
        assert member.aside_s == 2
        clock.now += 2
        member.failed(NodeUnavailableError("gone"))
        assert member.aside_s == 1  # being full was no failure


def settings(*argv: str, environ: dict[str, str] | None = None) -> EdgeSettings:
    return load(EdgeSettings, program="viseme-edge", prefix="VISEME_EDGE_", argv=argv, environ=environ or {})


def test_nodes_are_named_one_by_one_or_with_commas() -> None:
    assert settings().node == ("127.0.0.1:50061",)
    assert settings("--node", "a:1").node == ("a:1",)
    assert settings("--node", "a:1, b:2", "--node", "c:3").node == ("a:1", "b:2", "c:3")
    assert settings(environ={"VISEME_EDGE_NODE": "a:1,b:2"}).node == ("a:1", "b:2")
    assert EdgeSettings.model_validate({"node": "a:1,b:2"}).node == ("a:1", "b:2")


@pytest.mark.parametrize(("given", "words"), [("a:1,a:1", "twice"), (",", "one node at least")])
def test_a_node_that_is_named_twice_and_no_node_are_refused(given: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        settings("--node", given)


class Rendering(Told):
    """Takes streams and says nothing on them."""

    async def Render(  # type: ignore[override]  # the stubs want what a server of threads gives
        self, request_iterator: AsyncIterator[pb.RenderRequest], context: object
    ) -> AsyncIterator[pb.RenderResponse]:
        del request_iterator, context
        yield pb.RenderResponse(accepted=pb.RenderAccepted(node=self.name))
        await asyncio.Event().wait()


@pytest.mark.parametrize("has_another", [True, False])
async def test_streams_to_a_node_that_falls_silent_are_given_up_where_there_is_another(
    monkeypatch: pytest.MonkeyPatch, has_another: bool
) -> None:
    monkeypatch.setattr("edge_gateway.nodes._STATUS_S", 0.2)
    monkeypatch.setattr("edge_gateway.node_pool._SILENT_S", 0.1)
    rpc = RpcServer(Address(host="127.0.0.1", port=0), services=[SERVICE], grace_s=0.1)
    add_RenderServiceServicer_to_server(Rendering("a"), rpc.server)
    async with rpc.serving() as address, silence(str(address)) as (link, relayed), AsyncExitStack() as stack:
        addresses = [parse_address(relayed, field="node")]
        if has_another:
            other = RpcServer(Address(host="127.0.0.1", port=0), services=[SERVICE], grace_s=0.1)
            add_RenderServiceServicer_to_server(Told("b", queued=9), other.server)
            addresses.append(await stack.enter_async_context(other.serving()))
        async with NodePool.open(addresses) as pool:
            await pool.status()
            watching = asyncio.create_task(pool.watch(0.05))
            async with pool.render(Meter()) as stream:
                assert await stream.receive() is not None
                for connection in link.connections:
                    connection.is_silent = True
                link.target = ("127.0.0.1", 1)
                reading = asyncio.create_task(stream.receive())
                done, _ = await asyncio.wait({reading}, timeout=3 if has_another else 0.8)
                assert bool(done) is has_another
                if done:
                    assert isinstance(reading.exception(), NodeUnavailableError)
                reading.cancel()
            watching.cancel()
            await asyncio.gather(watching, reading, return_exceptions=True)
