"""``viseme.gateway.v1.NetworkService``."""

import time
from collections.abc import AsyncIterator

from edge_gateway.neighbours import Neighbours
from edge_gateway.rpc import convert
from edge_gateway.rpc.context import Context
from edge_gateway.ways import Way, Ways
from shared.errors import LimitExceededError
from shared.pb.viseme.gateway.v1 import network_pb2 as pb
from shared.pb.viseme.gateway.v1.network_pb2_grpc import NetworkServiceServicer


def _node(way: Way) -> pb.Node:
    node = pb.Node(address=way.address, is_up=way.is_up, bits_per_second=way.bits_s or 0.0)
    if way.round_trip_s is not None:
        node.round_trip.CopyFrom(convert.duration(way.round_trip_s))
    if way.status is not None:
        node.name, node.engine_ready = way.status.name, way.status.engine_ready and way.is_up
        node.queued_segments, node.queue_limit = way.status.queued_segments, way.status.queue_limit
    return node


class NetworkServicer(NetworkServiceServicer):
    """Measures the way to the client and says which edges there are."""

    def __init__(self, neighbours: Neighbours, ways: Ways, probe_bytes: int) -> None:
        self._neighbours = neighbours
        self._ways = ways
        self._probe_bytes = probe_bytes

    async def Probe(
        self, request_iterator: AsyncIterator[pb.ProbeRequest], context: Context
    ) -> AsyncIterator[pb.ProbeResponse]:
        """Measures round trip and throughput."""
        del context
        received = 0
        async for request in request_iterator:
            if max(len(request.payload), request.answer_bytes) > self._probe_bytes:
                message = f"a measurement carries at most {self._probe_bytes} bytes each way"
                raise LimitExceededError(message, field="payload", limit="probe_bytes")
            received += len(request.payload)
            yield pb.ProbeResponse(
                nonce=request.nonce,
                time=convert.timestamp(time.time_ns() // 1000),
                payload=bytes(request.answer_bytes),
                received_bytes=received,
            )

    async def ListEdges(self, request: pb.ListEdgesRequest, context: Context) -> pb.ListEdgesResponse:
        """Lists the edges."""
        del request, context
        edges = await self._neighbours.edges()
        return pb.ListEdgesResponse(
            edges=[pb.Edge(name=edge.name, region=edge.region, address=edge.address, web=edge.web) for edge in edges]
        )

    async def ListNodes(self, request: pb.ListNodesRequest, context: Context) -> pb.ListNodesResponse:
        """Lists the nodes, with what is known of the way to them."""
        del context
        return pb.ListNodesResponse(nodes=map(_node, await self._ways.look(measure=request.measure)))
