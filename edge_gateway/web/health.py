"""Whether the edge serves, for whoever balances loads or watches over it."""

from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class Health:
    """The health check.

    Args:
        node: The node's address and whether it answers.
        ending: Whether the edge is shutting down.
    """

    def __init__(
        self,
        node: Callable[[], tuple[str, bool]],
        ending: Callable[[], bool],
    ) -> None:
        self._node = node
        self._ending = ending

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [Route("/healthz", self.health)]

    async def health(self, request: Request) -> Response:
        """Whether the edge serves; what the node does is told beside it."""
        del request
        ending = self._ending()
        body = {"status": "ending" if ending else "serving", "node": "up" if self._node()[1] else "down"}
        code = HTTPStatus.SERVICE_UNAVAILABLE if ending else HTTPStatus.OK
        return JSONResponse(body, status_code=code, headers=_HEADERS)
