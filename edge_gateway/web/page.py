"""The page for people: one compressed HTML that works before anything else loads, and the parts that it loads later."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.web.answer import SAFE, refusal
from edge_gateway.web.pack import PARTS_PATH, Bundle, Packed
from shared.errors import NotFoundError

_PAGE = {
    **SAFE,
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    # With no-referrer a form of this page would come from nowhere, and be refused like a strange one.
    "Referrer-Policy": "same-origin",
}
_PART = {**SAFE, "Cache-Control": "public, max-age=31536000, immutable"}


class Page:
    """The page.

    Args:
        bundle: The page made ready.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._headers = {**_PAGE, "Content-Security-Policy": bundle.policy}

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [Route("/", self.page), Route(PARTS_PATH + "{name}", self.part)]

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return _answer(request, self._bundle.page, self._headers)

    async def part(self, request: Request) -> Response:
        """A part that is loaded when it is first needed; another version has another name."""
        part = self._bundle.parts.get(request.path_params["name"])
        if part is None:
            return refusal(NotFoundError("the page has no such part; load it again", field="name"))
        return _answer(request, part, _PART)


def _answer(request: Request, file: Packed, headers: dict[str, str]) -> Response:
    coding, body = _coded(request.headers.get("accept-encoding", ""), file)
    etag = f'"{file.digest}-{coding}"'
    told = {**headers, "ETag": etag, "Vary": "Accept-Encoding"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=told)
    if coding != "identity":
        told["Content-Encoding"] = coding
    return Response(body, media_type=file.media_type, headers=told)


def _coded(accepted: str, file: Packed) -> tuple[str, bytes]:
    """The smallest coding that the browser takes; browsers take Brotli over TLS and from their own machine."""
    wanted = set()
    for choice in accepted.lower().split(","):
        name, _, weight = choice.replace(" ", "").partition(";q=")
        if weight.rstrip("0.") or not weight:
            wanted.add(name)
    return next((name, body) for name, body in file.encodings().items() if name in wanted or name == "identity")
