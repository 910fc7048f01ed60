"""What pages and players are answered: bytes as they come, and refusals."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from shared.errors import VisemeError
from shared.rpc.status import statuses_of
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

SAFE = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
"""Headers of everything that is made of what users brought."""


class Streamed(StreamingResponse):
    """Bytes as they come; the connection is cut where they break off, so that nobody takes a part for the whole.

    Args:
        content: The bytes; closed when the client goes.
        status_code: The status.
        headers: The headers.
    """

    def __init__(self, content: AsyncGenerator[bytes, None], *, status_code: int, headers: Mapping[str, str]) -> None:
        super().__init__(content, status_code=status_code, headers=headers)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with aclosing(self._content):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send head and body; see :class:`StreamingResponse`."""
        try:
            await super().stream_response(send)
        except VisemeError as error:
            # Returning without the end makes the server cut the connection.
            _LOG.info("an answer broke off", reason=error.reason, error=error.message)


def refusal(error: VisemeError, *, headers: Mapping[str, str] | None = None, status: int = 0) -> Response:
    """The answer that an error is."""
    told = {
        "reason": error.reason,
        "message": error.message,
        "field": error.field,
        "limit": error.limit,
        "retryable": error.retryable,
    }
    all_headers = {**SAFE, "Cache-Control": "no-store", **(headers or {})}
    if error.retry_after_s is not None:
        all_headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return JSONResponse({"error": told}, status_code=status or statuses_of(error).http, headers=all_headers)
