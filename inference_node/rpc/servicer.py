"""``viseme.inference.v1.RenderService``: translates and calls the service, nothing else."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc

from inference_node.render.echo import echoed
from inference_node.render.service import NodeService
from inference_node.rpc.convert import messages_of, response_of, status_of
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceServicer

SERVICE = pb.DESCRIPTOR.services_by_name["RenderService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class RenderServicer(RenderServiceServicer):
    """The calls of the node.

    Args:
        service: What does the work.
        version: The software's version.
        is_draining: Whether the node is about to end.
    """

    def __init__(self, service: NodeService, *, version: str, is_draining: Callable[[], bool] = lambda: False) -> None:
        self._service = service
        self._version = version
        self._is_draining = is_draining

    async def Render(
        self, request_iterator: AsyncIterator[pb.RenderRequest], context: Context
    ) -> AsyncIterator[pb.RenderResponse]:
        """Render the segments of one job."""
        del context
        async with aclosing(self._service.render(messages_of(request_iterator))) as replies:
            async for reply in replies:
                response = response_of(reply)
                response.draining = self._is_draining()
                yield response

    async def MeasureLink(
        self, request_iterator: AsyncIterator[pb.MeasureLinkRequest], context: Context
    ) -> AsyncIterator[pb.MeasureLinkResponse]:
        """Give back what comes."""
        del context
        async for filler in echoed(request.filler async for request in request_iterator):
            yield pb.MeasureLinkResponse(filler=filler)

    async def Forget(self, request: pb.ForgetRequest, context: Context) -> pb.ForgetResponse:
        """Delete what is kept of a file."""
        del context
        dropped, in_use = await self._service.forget(request.digests)
        return pb.ForgetResponse(dropped=dropped, in_use=in_use)

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        """Say how the node is."""
        del request, context
        return status_of(self._service.status(), version=self._version)
