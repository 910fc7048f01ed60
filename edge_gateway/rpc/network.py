"""``viseme.gateway.v1.NetworkService``."""

import time
from collections.abc import AsyncIterator

from edge_gateway.identity import Identity
from edge_gateway.rpc import convert
from edge_gateway.rpc.context import Context
from shared.errors import LimitExceededError
from shared.pb.viseme.gateway.v1 import network_pb2 as pb
from shared.pb.viseme.gateway.v1.network_pb2_grpc import NetworkServiceServicer

_PROBE_BYTES = 1 << 20


class NetworkServicer(NetworkServiceServicer):
    """Measures the way to the client and says which edges there are."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def Probe(
        self, request_iterator: AsyncIterator[pb.ProbeRequest], context: Context
    ) -> AsyncIterator[pb.ProbeResponse]:
        """Measures round trip and throughput."""
        del context
        received = 0
        async for request in request_iterator:
            if max(len(request.payload), request.answer_bytes) > _PROBE_BYTES:
                message = f"a measurement carries at most {_PROBE_BYTES} bytes each way"
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
        this = self._identity
        return pb.ListEdgesResponse(edges=[pb.Edge(name=this.name, region=this.region, address=this.address())])
