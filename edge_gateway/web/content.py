"""Assets over HTTP: whole or in ranges, with a digest, so that any player seeks in them and any download resumes."""

import base64
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from edge_gateway.assets.asset import Asset, AssetKind
from edge_gateway.assets.service import AssetService
from edge_gateway.jobs.job import JobState
from edge_gateway.jobs.service import JobService
from edge_gateway.web.answer import SAFE, Streamed, matches, refusal
from edge_gateway.web.ranges import Range, read_ranges
from shared.errors import CancelledByUserError, ConflictError, InvalidInputError, JobFailedError, VisemeError

_TYPES: Final = {
    "mp4": ("video/mp4", "audio/mp4"),
    "matroska": ("video/x-matroska", "audio/x-matroska"),
    "avi": ("video/x-msvideo", ""),
    "flv": ("video/x-flv", ""),
    "wav": ("", "audio/wav"),
    "mp3": ("", "audio/mpeg"),
    "flac": ("", "audio/flac"),
    "ogg": ("video/ogg", "audio/ogg"),
    "aac": ("", "audio/aac"),
    "jpeg": ("image/jpeg", ""),
    "png": ("image/png", ""),
}
"""Media types by container, with pictures and without."""
_UNKNOWN = "application/octet-stream"


class Content:
    """Answers for files.

    Args:
        assets: The assets.
        jobs: The jobs.
    """

    def __init__(self, assets: AssetService, jobs: JobService) -> None:
        self._assets = assets
        self._jobs = jobs

    def routes(self) -> list[Route]:
        """What the application answers here."""
        return [
            Route("/assets/{asset_id}/content", self.content),
            Route("/jobs/{job_id}/result", self.result),
        ]

    async def result(self, request: Request) -> Response:
        """Where the result of a job is."""
        try:
            job = await self._jobs.get(request.path_params["job_id"])
            if job.state is JobState.FAILED:
                reason, message = (job.error.reason, job.error.message) if job.error else ("internal", "")
                raise JobFailedError(message, field="job_id", cause_reason=reason)
            if job.state is JobState.CANCELLED:
                raise CancelledByUserError("the job was cancelled", field="job_id")
            if job.state is not JobState.SUCCEEDED:
                raise ConflictError(f"the job is not over: it is {job.state.value}", field="job_id")
        except VisemeError as error:
            return refusal(error)
        query = f"?{request.url.query}" if request.url.query else ""
        headers = {**SAFE, "Cache-Control": "no-store"}
        return RedirectResponse(f"/assets/{job.result_asset_id}/content{query}", headers=headers)

    async def content(self, request: Request) -> Response:
        """A file, or parts of it."""
        asset_id = request.path_params["asset_id"]
        try:
            asset, pieces = await self._assets.download(asset_id, 0, 0)
        except VisemeError as error:
            return refusal(error)
        headers = _headers(asset, as_download=request.query_params.get("download") == "1")
        if matches(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=_about(headers))
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(asset.size_bytes)})
        ranges = _ranges(request, asset, headers["ETag"])
        if ranges is None:
            whole = {**headers, "Content-Length": str(asset.size_bytes)}
            return Streamed(_data(pieces), status_code=HTTPStatus.OK, headers=whole)
        return self._parts(asset, ranges, headers)

    def _parts(self, asset: Asset, ranges: Sequence[Range], headers: dict[str, str]) -> Response:
        size = asset.size_bytes
        if not ranges:
            message = f"the file has {size} bytes, none of which was asked for"
            told = {**_about(headers), "Content-Range": f"bytes */{size}"}
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            return refusal(InvalidInputError(message, field="Range"), headers=told, status=status)
        if len(ranges) > 1:
            return self._several(asset, ranges, headers)
        ((begin, end),) = ranges
        partly = {"Content-Range": f"bytes {begin}-{end - 1}/{size}", "Content-Length": str(end - begin)}
        body = self._range(asset.asset_id, begin, end)
        return Streamed(body, status_code=HTTPStatus.PARTIAL_CONTENT, headers={**headers, **partly})

    async def _range(self, asset_id: str, begin: int, end: int) -> AsyncGenerator[bytes, None]:
        _, pieces = await self._assets.download(asset_id, begin, end - begin)
        async with aclosing(_data(pieces)) as data:
            async for piece in data:
                yield piece

    def _several(self, asset: Asset, ranges: Sequence[Range], headers: dict[str, str]) -> Response:
        boundary = secrets.token_hex(16)
        heads = [
            f"\r\n--{boundary}\r\nContent-Type: {headers['Content-Type']}\r\n"
            f"Content-Range: bytes {begin}-{end - 1}/{asset.size_bytes}\r\n\r\n".encode()
            for begin, end in ranges
        ]
        tail = f"\r\n--{boundary}--\r\n".encode()
        size = sum(map(len, heads)) + sum(end - begin for begin, end in ranges) + len(tail)

        async def body() -> AsyncGenerator[bytes, None]:
            for head, (begin, end) in zip(heads, ranges, strict=True):
                yield head
                async with aclosing(self._range(asset.asset_id, begin, end)) as data:
                    async for piece in data:
                        yield piece
            yield tail

        kind = {"Content-Type": f"multipart/byteranges; boundary={boundary}", "Content-Length": str(size)}
        return Streamed(body(), status_code=HTTPStatus.PARTIAL_CONTENT, headers={**headers, **kind})


async def _data(pieces: AsyncGenerator[tuple[int, bytes], None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        async for _, data in pieces:
            yield data


def _headers(asset: Asset, *, as_download: bool) -> dict[str, str]:
    return {
        "Content-Type": _media_type(asset),
        "Content-Disposition": _disposition(asset, as_download=as_download),
        "Accept-Ranges": "bytes",
        "ETag": f'"{asset.sha256.hex()}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(asset.sha256).decode()}:",
        # It never changes, but it may be deleted.
        "Cache-Control": "private, no-cache",
        **SAFE,
    }


def _about(headers: dict[str, str]) -> dict[str, str]:
    """What goes with an answer that is not the file."""
    return {name: headers[name] for name in ("ETag", "Cache-Control", *SAFE)}


def _media_type(asset: Asset) -> str:
    if asset.media is None:
        return _UNKNOWN
    moving, sound = _TYPES.get(asset.media.container, ("", ""))
    return (sound if asset.kind is AssetKind.AUDIO else moving) or _UNKNOWN


def _disposition(asset: Asset, *, as_download: bool) -> str:
    """RFC 6266: a name that every browser reads, and the true one."""
    name = asset.display_name or asset.asset_id[:16]
    plain = "".join(letter if letter.isascii() and letter not in '"\\%' else "_" for letter in name)
    told = f'{"attachment" if as_download else "inline"}; filename="{plain}"'
    return told if plain == name else f"{told}; filename*=UTF-8''{quote(name, safe='')}"


def _ranges(request: Request, asset: Asset, etag: str) -> list[Range] | None:
    header = request.headers.get("range")
    # Of a date we know nothing, and a weak tag is none for ranges: whoever has another file gets this one whole.
    if header is None or request.headers.get("if-range", etag) != etag:
        return None
    return read_ranges(header, asset.size_bytes)
