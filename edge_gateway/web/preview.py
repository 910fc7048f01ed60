"""Previews over HTTP: one stream that any player plays, and the same in files for Media Source."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.jobs.preview import PreviewAnswer, PreviewPiece, Previews
from edge_gateway.jobs.reel import PreviewInit
from edge_gateway.web.answer import SAFE, Streamed, refusal
from shared.errors import NotFoundError, VisemeError

_HEADERS = {**SAFE, "Cache-Control": "no-store"}
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_TYPE = "video/mp4"


class PreviewPages:
    """Answers players.

    Args:
        previews: The previews.
    """

    def __init__(self, previews: Previews) -> None:
        self._previews = previews

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [
            Route("/jobs/{job_id}/preview.mp4", self.whole),
            Route("/jobs/{job_id}/preview/init.mp4", self.init),
            Route("/jobs/{job_id}/preview/{number}.m4s", self.fragment),
        ]

    async def whole(self, request: Request) -> Response:
        """The preview from its beginning, as it comes."""
        answers = self._previews.watch(request.path_params["job_id"], 0)
        first = await _first(request, answers)
        if isinstance(first, Response):
            return first
        headers = {**_HEADERS, "Content-Type": _TYPE, "Accept-Ranges": "none"}
        return Streamed(_bytes(first, answers), status_code=HTTPStatus.OK, headers=headers)

    async def init(self, request: Request) -> Response:
        """The init segment; its type names the codecs. Waits until there is one."""
        answers = self._previews.watch(request.path_params["job_id"], 0)
        first = await _first(request, answers)
        await answers.aclose()
        if isinstance(first, PreviewInit):
            return Response(first.data, headers={**_HEADERS, "Content-Type": first.mime_type})
        return _none() if isinstance(first, PreviewPiece) else first

    async def fragment(self, request: Request) -> Response:
        """One fragment. Waits until there is one; where the result has none of this number there is nothing."""
        number = request.path_params["number"]
        if not _NUMBER.fullmatch(number):
            return _none()
        answers = self._previews.watch(request.path_params["job_id"], int(number))
        init = await _first(request, answers)
        first = init if isinstance(init, Response) else await _first(request, answers)
        if isinstance(first, PreviewPiece):
            headers = {**_HEADERS, "Content-Type": _TYPE, "Content-Length": str(first.size_bytes)}
            return Streamed(_bytes(first, answers, one=True), status_code=HTTPStatus.OK, headers=headers)
        await answers.aclose()
        return first if isinstance(first, Response) else _none()


async def _first(request: Request, answers: AsyncGenerator[PreviewAnswer, None]) -> PreviewAnswer | Response:
    """What a preview says next, or the answer where it says nothing more."""
    saying = asyncio.ensure_future(anext(answers))
    going = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({saying, going}, return_when=asyncio.FIRST_COMPLETED)
        if saying.done():
            return saying.result()
    except VisemeError as error:
        return refusal(error)
    except StopAsyncIteration:
        return _none()
    finally:
        for task in (saying, going):
            task.cancel()
        await asyncio.wait({saying, going})
    await answers.aclose()
    return Response(status_code=HTTPStatus.NO_CONTENT)  # nobody is there to read it


async def _gone(request: Request) -> None:
    """Wait until the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _bytes(
    first: PreviewAnswer, answers: AsyncGenerator[PreviewAnswer, None], *, one: bool = False
) -> AsyncGenerator[bytes, None]:
    async with aclosing(answers):
        yield first.data
        if one and isinstance(first, PreviewPiece) and first.ends:
            return
        async for answer in answers:
            yield answer.data
            if one and isinstance(answer, PreviewPiece) and answer.ends:
                return


def _none() -> Response:
    return refusal(NotFoundError("the preview has no such fragment", field="number"))
