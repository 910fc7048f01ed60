"""Libraries over HTTP: what there is, what lies in them, and making it assets."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_gateway.assets.asset import Asset
from edge_gateway.library.bring import BringProgress
from edge_gateway.library.service import Libraries, LibraryFile
from edge_gateway.web.answer import SAFE, Streamed, refusal
from edge_gateway.web.origin import foreign_header
from shared.errors import InvalidInputError, LimitExceededError, VisemeError

LINES: Final = "application/x-ndjson"
"""What a client accepts that wants to be told how far it is: a JSON object a line."""

_BODY_BYTES = 16 << 10
_HEADERS = {**SAFE, "Cache-Control": "no-store"}


class LibraryPages:
    """Answers for libraries.

    Args:
        libraries: The libraries.
    """

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [Route("/library", self.listing), Route("/assets", self.add, methods=["POST"])]

    async def listing(self, request: Request) -> Response:
        """The libraries; with ``library=`` a page of its files, below ``prefix=``, after ``page_token=``."""
        asked = request.query_params
        if "library" not in asked:
            return JSONResponse({"libraries": self._libraries.names}, headers=_HEADERS)
        try:
            size = _page_size(asked.get("page_size", "0"))
            files, token = await self._libraries.page(
                asked["library"], asked.get("prefix", ""), size, asked.get("page_token", "")
            )
        except VisemeError as error:
            return refusal(error)
        return JSONResponse({"files": list(map(_file, files)), "next_page_token": token}, headers=_HEADERS)

    async def add(self, request: Request) -> Response:
        """Make the file that the body names an asset; tell of it at the end, or in lines all the while where asked."""
        header = foreign_header(request)
        if header:
            error = InvalidInputError("pages of other hosts may not add files here", field=header)
            return refusal(error, status=HTTPStatus.FORBIDDEN)
        answers: AsyncGenerator[BringProgress | Asset, None] | None = None
        try:
            answers = self._libraries.add(await _name(request))
            # The first answer is waited for, so that a name that is wrong is refused by the status.
            first = await anext(answers)
            if LINES in request.headers.get("accept", ""):
                lines, answers = _lines(first, answers), None
                return Streamed(lines, status_code=HTTPStatus.OK, headers={**_HEADERS, "Content-Type": LINES})
            async with aclosing(answers):
                async for answer in answers:
                    first = answer
        except VisemeError as error:
            return refusal(error)
        finally:
            if answers is not None:
                await answers.aclose()
        return JSONResponse(_told(first), headers=_HEADERS)


async def _lines(
    first: BringProgress | Asset, answers: AsyncGenerator[BringProgress | Asset, None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(answers):
        yield _line(_told(first))
        try:
            async for answer in answers:
                yield _line(_told(answer))
        except VisemeError as error:
            told = {"reason": error.reason, "message": error.message, "field": error.field, "limit": error.limit}
            yield _line({"error": told})


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"


def _told(answer: BringProgress | Asset) -> dict[str, Any]:
    if isinstance(answer, BringProgress):
        progress = {
            "done_bytes": answer.done_bytes,
            "size_bytes": answer.size_bytes,
            "waiting_for": answer.waiting_for,
        }
        return {"progress": progress}
    asset = {
        "asset_id": answer.asset_id,
        "size_bytes": answer.size_bytes,
        "display_name": answer.display_name,
        "kind": answer.kind.value if answer.kind is not None else "",
    }
    return {"asset": asset}


def _file(file: LibraryFile) -> dict[str, Any]:
    return {
        "name": str(file.name),
        "size_bytes": file.size_bytes,
        "modify_time": datetime.fromtimestamp(file.modified_us / 1e6, UTC).isoformat(),
        "asset_id": file.asset_id,
    }


def _page_size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInputError("page_size is a number", field="page_size")
    return int(text)


async def _name(request: Request) -> str:
    """The name in a request's body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidInputError('the body is JSON: {"name": "lib:..."}', field="Content-Type")
    body = bytearray()
    try:
        async for data in request.stream():
            body += data
            if len(body) > _BODY_BYTES:
                raise LimitExceededError(f"the body has at most {_BODY_BYTES} bytes", field="name", limit="body_bytes")
    except ClientDisconnect:
        raise InvalidInputError("the client went away", field="name") from None
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInputError("the body is no JSON", field="name") from None
    name = given.get("name") if isinstance(given, dict) else None
    if not isinstance(name, str):
        raise InvalidInputError('the body is {"name": "lib:LIBRARY/path/in/it"}', field="name")
    return name
