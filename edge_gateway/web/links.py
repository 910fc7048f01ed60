"""Links to results, over HTTP."""

from http import HTTPStatus

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.access.caller import CALLER
from edge_gateway.access.links import Links
from edge_gateway.web.answer import answered, writing
from edge_gateway.web.asks import Ask, read_json
from edge_gateway.web.limits import WebLimits
from edge_gateway.web.told import Told, rfc3339


class LinkAsk(Ask):
    """A link that is wanted."""

    valid_s: float = Field(default=86_400.0, gt=0, le=1e9, allow_inf_nan=False)
    """For how long it is to be good, in seconds."""


class SharedLink(Told):
    """A link to a result."""

    url: str
    """Whoever has it may fetch the result, and nothing else."""
    expire_time: str


class LinkPages:
    """Makes links.

    Args:
        links: Signs them.
        limits: What is refused of requests.
    """

    def __init__(self, links: Links, limits: WebLimits) -> None:
        self._links = links
        self._limits = limits

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [Route("/jobs/{job_id}/link", writing(self.create), methods=["POST"])]

    async def create(self, request: Request) -> Response:
        """A link to a job's result."""
        ask = await read_json(request, LinkAsk, self._limits)
        link = await self._links.create(CALLER.get(), request.path_params["job_id"], ask.valid_s)
        return answered(SharedLink(url=link.url, expire_time=rfc3339(link.expires_us)), status=HTTPStatus.CREATED)
