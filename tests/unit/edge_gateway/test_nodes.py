"""The node as the edge sees it, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from edge_gateway.jobs.node import Accepted, Meter, RenderSpec
from edge_gateway.nodes import GrpcNode
from edge_gateway.ways import Ways
from shared.errors import NodeUnavailableError
from shared.media.profile import BALANCED
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceServicer, add_RenderServiceServicer_to_server
from shared.rpc.address import Address, parse_address
from shared.rpc.server import RpcServer
from tests.silence import silence


class Teller(RenderServiceServicer):
    def __init__(self, triton: pb.TritonState.ValueType) -> None:
        self.triton = triton

    def Render(self, request_iterator: object, context: object) -> Iterator[pb.RenderResponse]:
        del request_iterator, context
        raise NotImplementedError

    async def GetStatus(self, request: pb.GetStatusRequest, context: object) -> pb.GetStatusResponse:
        del request, context
        return pb.GetStatusResponse(version="0", node="here", triton=self.triton)


@pytest.mark.parametrize(
    ("triton", "ready"),
    [
        (pb.TRITON_STATE_READY, True),
        (pb.TRITON_STATE_LOCAL, True),
        (pb.TRITON_STATE_STARTING, False),
        (pb.TRITON_STATE_DOWN, False),
    ],
)
async def test_networks_in_the_nodes_own_process_are_as_ready_as_triton(
    triton: pb.TritonState.ValueType, ready: bool
) -> None:
    rpc = RpcServer(Address(host="127.0.0.1", port=0), services=["viseme.inference.v1.RenderService"], grace_s=0.1)
    add_RenderServiceServicer_to_server(Teller(triton), rpc.server)
    async with (
        rpc.serving() as address,
        GrpcNode.open(address, on_up=lambda _: None, on_down=lambda _: None) as node,
    ):
        assert (await node.status()).engine_ready is ready


async def test_the_way_to_a_node_is_told_whether_or_not_it_answers() -> None:
    rpc = RpcServer(Address(host="127.0.0.1", port=0), services=["viseme.inference.v1.RenderService"], grace_s=0.1)
    add_RenderServiceServicer_to_server(Teller(pb.TRITON_STATE_READY), rpc.server)
    trips: list[float] = []
    async with GrpcNode.open(
        address := await rpc.start(), on_up=lambda _: None, on_down=lambda _: None, on_answer=trips.append
    ) as node:
        (way,) = await Ways([node]).look(measure=False)
        assert (way.address, way.is_up, way.bits_s) == (str(address), True, None)
        assert [way.round_trip_s] == trips
        await rpc.drain()
        # It cannot be measured either; what it said last is kept.
        (way,) = await Ways([node]).look(measure=True)
        assert (way.is_up, way.round_trip_s, way.bits_s) == (False, None, None)
        assert way.status is not None
        assert way.status.name == "here"


async def test_the_round_trip_is_known_while_the_node_answers_and_not_when_it_does_not() -> None:
    rpc = RpcServer(Address(host="127.0.0.1", port=0), services=["viseme.inference.v1.RenderService"], grace_s=0.1)
    add_RenderServiceServicer_to_server(Teller(pb.TRITON_STATE_READY), rpc.server)
    async with (
        rpc.serving() as address,
        GrpcNode.open(address, on_up=lambda _: None, on_down=lambda _: None) as node,
    ):
        assert (node.is_up, node.round_trip_s) == (False, None)
        await node.status()
        assert node.is_up
        assert node.round_trip_s is not None
        assert 0 < node.round_trip_s < 5
        asking = asyncio.create_task(node.status())
        await asyncio.sleep(0)
        assert node.is_up  # also while it is asked again
        await asking
        node._round_trips.extend([9.0, 0.001, 0.001, 0.001])
        assert node.round_trip_s == pytest.approx(0.001)  # one that was held up says nothing
        await rpc.server.stop(0)
        with pytest.raises(NodeUnavailableError):
            await node.status()
        assert (node.is_up, node.round_trip_s) == (False, None)


SPEC = RenderSpec(
    job_id="job-1",
    engine="",
    crop_px=256,
    matrix="bt601",
    full_range=False,
    speech_digest=b"s" * 32,
    speech_bytes=1,
    total_segments=1,
    patch=BALANCED.patch,
)


class Quiet(Teller):
    """Takes a spec and then says nothing more; tells when streams end."""

    def __init__(self) -> None:
        super().__init__(pb.TRITON_STATE_READY)
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def Render(  # type: ignore[override]  # the stubs want what a server of threads gives
        self, request_iterator: AsyncIterator[pb.RenderRequest], context: object
    ) -> AsyncIterator[pb.RenderResponse]:
        del context
        spec = await anext(request_iterator)
        try:
            yield pb.RenderResponse(accepted=pb.RenderAccepted(engine="warp", node="here"))
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended.put_nowait(spec.spec.job_id)


@asynccontextmanager
async def quiet() -> AsyncIterator[tuple[GrpcNode, Quiet]]:
    rpc = RpcServer(Address(host="127.0.0.1", port=0), services=["viseme.inference.v1.RenderService"], grace_s=0.1)
    servicer = Quiet()
    add_RenderServiceServicer_to_server(servicer, rpc.server)
    async with (
        rpc.serving() as address,
        GrpcNode.open(address, on_up=lambda _: None, on_down=lambda _: None) as node,
    ):
        yield node, servicer


@pytest.mark.parametrize("knocked", [False, True])
async def test_streams_on_a_connection_that_is_given_up_end_on_both_sides_and_new_ones_work(knocked: bool) -> None:
    async with quiet() as (node, servicer):
        async with node.render(Meter()) as stream:
            await stream.send(SPEC)
            assert isinstance(await stream.receive(), Accepted)
            waiting = asyncio.create_task(stream.receive())
            if knocked:
                await node.knock(5.0)
            node.renew()
            with pytest.raises(NodeUnavailableError, match="cut"):
                await waiting
            with pytest.raises(NodeUnavailableError, match="cut"):
                await stream.send(SPEC)
            assert await servicer.ended.get() == SPEC.job_id
        async with node.render(Meter()) as stream:
            await stream.send(SPEC)
            assert isinstance(await stream.receive(), Accepted)
        await node.ask(5.0)
        await node.ask_streams(5.0)
        await node.status()


async def test_who_is_cancelled_on_a_lost_stream_stays_cancelled() -> None:
    async with quiet() as (node, _), node.render(Meter()) as stream:
        await stream.send(SPEC)
        await stream.receive()
        waiting = asyncio.create_task(stream.receive())
        await asyncio.wait([waiting], timeout=0)
        waiting.cancel()
        node.renew()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_node_that_is_not_there_does_not_answer_a_knock() -> None:
    async with GrpcNode.open(Address(host="127.0.0.1", port=1), on_up=lambda _: None, on_down=lambda _: None) as node:
        assert node.heard_at() is None
        with pytest.raises(NodeUnavailableError):
            await node.knock(0.5)


async def test_an_error_inside_comes_out_as_it_is() -> None:
    with pytest.raises(NodeUnavailableError, match="mine"):
        async with GrpcNode.open(Address(host="127.0.0.1", port=1), on_up=lambda _: None, on_down=lambda _: None):
            raise NodeUnavailableError("mine")


async def test_a_connection_for_media_that_dies_alone_is_given_up_long_before_keepalive_would() -> None:
    """Of 20 s and 10 s more; questions on the other connection are answered all the while."""
    rpc = RpcServer(Address(host="127.0.0.1", port=0), services=["viseme.inference.v1.RenderService"], grace_s=0.1)
    add_RenderServiceServicer_to_server(Quiet(), rpc.server)
    async with (
        rpc.serving() as address,
        silence(str(address)) as (link, relayed),
        GrpcNode.open(parse_address(relayed, field="node"), on_up=lambda _: None, on_down=lambda _: None) as node,
    ):
        async with node.render(Meter()) as stream:
            await stream.send(SPEC)
            assert isinstance(await stream.receive(), Accepted)
            (media,) = link.connections
            media.is_silent = True
            with pytest.raises(NodeUnavailableError, match="cut"):
                await stream.receive()
        async with node.render(Meter()) as stream:
            await stream.send(SPEC)
            assert isinstance(await stream.receive(), Accepted)
