"""The way between a page and the edge, measured by the page."""

import asyncio
import os
from http import HTTPStatus
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.neighbours import Neighbours
from edge_gateway.web.answer import NO_STORE, answered, reading, writing
from edge_gateway.web.asks import read_number
from edge_gateway.web.limits import WebLimits
from edge_gateway.web.told import Told
from shared.errors import DeadlineError, InvalidInputError, LimitExceededError

_TYPE: Final = "application/octet-stream"


class Received(Told):
    """What came of a measurement."""

    received_bytes: int


class NearEdge(Told):
    """An edge that can be used."""

    name: str
    region: str
    address: str
    """Where it listens for gRPC."""
    web: str
    """The URL of its page; empty where that is not known."""


class Edges(Told):
    """The edges that this one knows, itself first."""

    edges: list[NearEdge]


class NetworkPages:
    """Answers measurements, and says which edges there are.

    Args:
        limits: How large measurements may be.
        neighbours: The edges.
    """

    def __init__(self, limits: WebLimits, neighbours: Neighbours) -> None:
        self._limits = limits
        self._neighbours = neighbours

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [
            Route("/ping", self.ping, methods=["GET"]),
            Route("/edges", reading(self.edges), methods=["GET"]),
            Route("/probe", reading(self.down), methods=["GET"]),
            Route("/probe", writing(self.up), methods=["POST"]),
        ]

    async def ping(self, request: Request) -> Response:
        """Nothing, at once."""
        del request
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=NO_STORE)

    async def edges(self, request: Request) -> Response:
        """This edge and its peers."""
        del request
        edges = await self._neighbours.edges()
        told = [NearEdge(name=edge.name, region=edge.region, address=edge.address, web=edge.web) for edge in edges]
        return answered(Edges(edges=told))

    async def down(self, request: Request) -> Response:
        """So many bytes that nothing on the way can make smaller."""
        size = read_number(request.query_params, "size_bytes", 0)
        if size > self._limits.probe_bytes:
            raise self._too_large("size_bytes")
        return Response(os.urandom(size), headers=NO_STORE, media_type=_TYPE)

    async def up(self, request: Request) -> Response:
        """Count the bytes of the body, and keep none."""
        received = 0
        try:
            async with asyncio.timeout(self._limits.body_s):
                async for data in request.stream():
                    received += len(data)
                    if received > self._limits.probe_bytes:
                        raise self._too_large("body")
        except TimeoutError:
            message = f"the body did not come within {self._limits.body_s:g} s; measure with less"
            raise DeadlineError(message, field="body", limit="request_body_s") from None
        except ClientDisconnect:
            raise InvalidInputError("the client went away", field="body") from None
        return answered(Received(received_bytes=received))

    def _too_large(self, field: str) -> LimitExceededError:
        message = f"a measurement carries at most {self._limits.probe_bytes} bytes each way"
        return LimitExceededError(message, field=field, limit="probe_bytes")
