"""The results of many jobs over HTTP, as one ZIP."""

from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.jobs.archive import Archives
from edge_gateway.web.answer import NO_STORE, Streamed, reading, writing
from edge_gateway.web.asks import read_body
from edge_gateway.web.limits import WebLimits
from shared.errors import InvalidInputError

_FORM = "application/x-www-form-urlencoded"
_HEADERS = {
    **NO_STORE,
    "Content-Type": "application/zip",
    "Content-Disposition": 'attachment; filename="viseme-results.zip"',
}


class ArchivePages:
    """Answers for results.

    Args:
        archives: Puts them together.
        limits: What is refused of requests.
    """

    def __init__(self, archives: Archives, limits: WebLimits) -> None:
        self._archives = archives
        self._limits = limits

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [
            Route("/results.zip", reading(self.named), methods=["GET"]),
            # Nothing is changed, but only a page of this edge has a reason to ask so.
            Route("/results.zip", writing(self.listed), methods=["POST"]),
        ]

    async def named(self, request: Request) -> Response:
        """The results of the jobs in the address."""
        return await self._answer(request, request.query_params.getlist("job"))

    async def listed(self, request: Request) -> Response:
        """The results of the jobs in a form, which may be more than an address has room for."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise InvalidInputError(f"the body is {_FORM}; say so", field="Content-Type")
        body = await read_body(request, self._limits)
        fields = parse_qsl(body.decode("ascii", errors="replace"), keep_blank_values=True)
        return await self._answer(request, [value for name, value in fields if name == "job"])

    async def _answer(self, request: Request, job_ids: list[str]) -> Response:
        archive = await self._archives.open(job_ids)
        headers = {**_HEADERS, "Content-Length": str(archive.size_bytes)}
        if request.method == "HEAD":
            return Response(headers=headers)
        return Streamed(archive.content, status_code=HTTPStatus.OK, headers=headers)
