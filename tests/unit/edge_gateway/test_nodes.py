"""The node as the edge sees it, over real gRPC."""

from collections.abc import Iterator

import pytest

from edge_gateway.nodes import GrpcNode
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceServicer, add_RenderServiceServicer_to_server
from shared.rpc.address import Address
from shared.rpc.server import RpcServer


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
