"""What pages and players are answered: bytes as they come, and refusals."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import wraps
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from edge_gateway.web.http import ABORT
from edge_gateway.web.origin import foreign_header
from shared.errors import InternalError, InvalidInputError, NotFoundError, VisemeError
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
        stall_s: Seconds for which the client may take nothing; None for any.
    """

    def __init__(
        self,
        content: AsyncGenerator[bytes, None],
        *,
        status_code: int,
        headers: Mapping[str, str],
        stall_s: float | None = None,
    ) -> None:
        super().__init__(content, status_code=status_code, headers=headers)
        self._content = content
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        loop, stall_s = asyncio.get_running_loop(), self._stall_s

        async def bounded(message: Message) -> None:
            late = loop.call_later(stall_s or 0.0, scope[ABORT])
            try:
                await send(message)
            finally:
                late.cancel()

        async with aclosing(self._content):
            await super().__call__(scope, receive, send if stall_s is None else bounded)

    async def stream_response(self, send: Send) -> None:
        """Send head and body; see :class:`StreamingResponse`."""
        try:
            await super().stream_response(send)
        except VisemeError as error:
            # Returning without the end makes the server cut the connection.
            _LOG.info("an answer broke off", reason=error.reason, error=error.message)


NO_STORE = {**SAFE, "Cache-Control": "no-store"}
"""Headers of what is true only now."""

Handler = Callable[[Request], Awaitable[Response]]


def answered(model: BaseModel, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    body = model.model_dump_json().encode()
    return Response(body, status_code=status, headers={**NO_STORE, **(headers or {})}, media_type="application/json")


def reading(handler: Handler) -> Handler:
    """A handler that changes nothing; what it raises is answered."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except VisemeError as error:
            return refusal(error)

    return answer


def writing(handler: Handler) -> Handler:
    """A handler that changes something: what pages of other hosts ask a browser to do is refused."""

    @wraps(handler)
    async def answer(request: Request) -> Response:
        header = foreign_header(request)
        if header:
            error = InvalidInputError("pages of other hosts may not do this", field=header)
            return refusal(error, status=HTTPStatus.FORBIDDEN)
        return await handler(request)

    return reading(answer)


async def _unknown(request: Request, error: Exception) -> Response:
    """Answer for an address, or a method of it, that the edge does not know."""
    if not isinstance(error, HTTPException) or error.status_code not in _PATHS:
        raise error
    told = NotFoundError(_PATHS[HTTPStatus(error.status_code)].format(request.method), field="path")
    return refusal(told, headers=error.headers, status=error.status_code)


async def _fault(request: Request, error: Exception) -> Response:
    """Answer for a fault of ours; the server logs it."""
    del request, error
    return refusal(InternalError("a fault of ours; the edge's log has it"))


_PATHS: Final = {
    HTTPStatus.NOT_FOUND: "there is nothing at this address; /openapi.json lists what there is",
    HTTPStatus.METHOD_NOT_ALLOWED: "{} means nothing at this address; /openapi.json lists what does",
}
HANDLERS: Final[Mapping[Any, Any]] = {HTTPException: _unknown, Exception: _fault}
"""How the application answers what no handler does."""


def refusal(error: VisemeError, *, headers: Mapping[str, str] | None = None, status: int = 0) -> Response:
    """The answer that an error is."""
    problem = {
        "reason": error.reason,
        "message": error.message,
        "field": error.field,
        "limit": error.limit,
        "retryable": error.retryable,
    }
    all_headers = {**SAFE, "Cache-Control": "no-store", **(headers or {})}
    if error.retry_after_s is not None:
        all_headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return JSONResponse({"error": problem}, status_code=status or statuses_of(error).http, headers=all_headers)


def matches(header: str, etag: str) -> bool:
    """Whether an ``If-None-Match`` header has a tag."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or tags == ["*"]
