"""Libraries over HTTP: what there is, what lies in them, and making it assets."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_gateway.assets import asset as assets
from edge_gateway.library.bring import BringProgress
from edge_gateway.library.service import Libraries, LibraryFile
from edge_gateway.web.answer import NO_STORE, Streamed, reading, writing
from edge_gateway.web.asks import NameAsk, read_json, read_page
from edge_gateway.web.limits import WebLimits
from edge_gateway.web.told import Added, Asset
from shared.errors import VisemeError

LINES: Final = "application/x-ndjson"
"""What a client accepts that wants to be told how far it is: a JSON object a line."""


class LibraryPages:
    """Answers for libraries.

    Args:
        libraries: The libraries.
        limits: What is refused of requests.
    """

    def __init__(self, libraries: Libraries, limits: WebLimits) -> None:
        self._libraries = libraries
        self._limits = limits

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [Route("/library", reading(self.listing)), Route("/assets", writing(self.add), methods=["POST"])]

    async def listing(self, request: Request) -> Response:
        """The libraries; with ``library=`` a page of its files, below ``prefix=``, after ``page_token=``."""
        asked = request.query_params
        size, token = read_page(request)
        if "library" not in asked:
            return JSONResponse({"libraries": self._libraries.names}, headers=NO_STORE)
        files, token = await self._libraries.page(asked["library"], asked.get("prefix", ""), size, token)
        return JSONResponse({"files": list(map(_file, files)), "next_page_token": token}, headers=NO_STORE)

    async def add(self, request: Request) -> Response:
        """Make the file that the body names an asset; tell of it at the end, or in lines all the while where asked."""
        answers: AsyncGenerator[BringProgress | assets.Asset, None] | None = None
        try:
            answers = self._libraries.add((await read_json(request, NameAsk, self._limits)).name)
            # The first answer is waited for, so that a name that is wrong is refused by the status.
            first = await anext(answers)
            if LINES in request.headers.get("accept", ""):
                lines, answers = _lines(first, answers), None
                return Streamed(lines, status_code=HTTPStatus.OK, headers={**NO_STORE, "Content-Type": LINES})
            async with aclosing(answers):
                async for answer in answers:
                    first = answer
        finally:
            if answers is not None:
                await answers.aclose()
        return JSONResponse(_told(first), headers=NO_STORE)


async def _lines(
    first: BringProgress | assets.Asset, answers: AsyncGenerator[BringProgress | assets.Asset, None]
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


def _told(answer: BringProgress | assets.Asset) -> dict[str, Any]:
    if isinstance(answer, BringProgress):
        progress = {
            "done_bytes": answer.done_bytes,
            "size_bytes": answer.size_bytes,
            "waiting_for": answer.waiting_for,
        }
        return {"progress": progress}
    return Added(asset=Asset.of(answer)).model_dump()


def _file(file: LibraryFile) -> dict[str, Any]:
    return {
        "name": str(file.name),
        "size_bytes": file.size_bytes,
        "modify_time": datetime.fromtimestamp(file.modified_us / 1e6, UTC).isoformat(),
        "asset_id": file.asset_id,
    }
