"""tus 1.0 below ``/files/``: uploads that any tus client can send, resume and put together.

An upload is bytes in order until it is whole; then it becomes an asset, whose id stands in ``Viseme-Asset-Id``.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edge_gateway.assets.asset import display_name
from edge_gateway.assets.stream import CHECKSUMS, Checksum, NewStream, Stream, StreamLimits, is_upload_id
from edge_gateway.assets.stream_upload import StreamUploads
from edge_gateway.web.answer import refusal
from edge_gateway.web.origin import foreign_header
from shared.errors import InvalidInputError, LimitExceededError, NotFoundError, VisemeError
from shared.rpc.status import statuses_of

PATH: Final = "/files/"
"""Where uploads are."""
ASSET_HEADER: Final = "Viseme-Asset-Id"
"""The header that tells what an upload became."""

_VERSION = "1.0.0"
_EXTENSIONS = "creation,creation-with-upload,checksum,expiration,termination,concatenation"
_BODY_TYPE = "application/offset+octet-stream"
_DAMAGED = 460
_NUMBER = re.compile(r"[0-9]{1,15}")
_KEY = re.compile(r"[!-+\--~]+")
_DIGEST_BYTES = {"sha1": 20, "sha256": 32}
_STATUSES = {"Upload-Checksum": _DAMAGED, "Upload-Concat": HTTPStatus.FORBIDDEN}
"""What tus calls some refusals of bytes, by the field at fault."""
_HEADERS = {"Tus-Resumable": _VERSION, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_UNREAD_BYTES = 1 << 20
"""Bytes of a refused body that are read, so that the answer is not lost to a reset."""
_UNREAD_S = 0.5
"""Seconds that they may take."""

_Handler = Callable[[Request], Awaitable[Response]]


class _RefusedError(Exception):
    """A request that is not tus 1.0, or not ours to answer."""

    def __init__(self, status: int, message: str, field: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field


class TusFiles:
    """Answers tus clients.

    Args:
        uploads: The uploads.
    """

    def __init__(self, uploads: StreamUploads) -> None:
        self._uploads = uploads

    def routes(self) -> list[Route]:
        """What the application answers here."""
        methods = ["OPTIONS", "HEAD", "POST", "PATCH", "DELETE"]
        return [
            Route(PATH, self._collection, methods=methods),
            Route(PATH.rstrip("/"), self._collection, methods=methods),
            Route(PATH + "{upload_id}", self._item, methods=methods),
        ]

    async def _collection(self, request: Request) -> Response:
        return await self._answer(request, {"OPTIONS": self._options, "POST": self._create})

    async def _item(self, request: Request) -> Response:
        handlers = {"OPTIONS": self._options, "HEAD": self._status, "PATCH": self._append, "DELETE": self._delete}
        return await self._answer(request, handlers)

    async def _answer(self, request: Request, handlers: Mapping[str, _Handler]) -> Response:
        method = request.headers.get("x-http-method-override", request.method).upper()
        try:
            if method != "OPTIONS":
                _check_version(request)
                _check_origin(request)
            return await _handler(handlers, method)(request)
        except _RefusedError as refused:
            error: VisemeError = InvalidInputError(refused.message, field=refused.field)
            status = refused.status
        except VisemeError as raised:
            error, status = raised, statuses_of(raised).http
        except ConnectionError:
            return Response(status_code=HTTPStatus.BAD_REQUEST, headers=_HEADERS)  # nobody is there to read it
        more = {"Allow": ", ".join(handlers)} if status == HTTPStatus.METHOD_NOT_ALLOWED else {}
        if status == HTTPStatus.CONFLICT and error.field == "Upload-Offset":
            # Browsers send a request again by themselves when a connection that they had used before breaks. What
            # belongs to a place that the upload has left would be sent to its end, only to be read away.
            more["Connection"] = "close"
        else:
            await _read_away(request)
        return _problem(error, status, more, with_body=method != "HEAD")

    async def _options(self, request: Request) -> Response:
        del request
        headers = {
            **_HEADERS,
            "Tus-Version": _VERSION,
            "Tus-Extension": _EXTENSIONS,
            "Tus-Max-Size": str(self._uploads.limits.asset_bytes),
            "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
        }
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)

    async def _create(self, request: Request) -> Response:
        new, parts = _new(request, self._uploads.limits)
        with_bytes = _has_body(request)
        if with_bytes:
            _check_type(request)
        if parts:
            stream = await self._uploads.put_together(parts, new)
        else:
            checksum = _checksum(request)
            stream = await self._uploads.create(new)
            if with_bytes:
                stream = await self._first(request, stream, checksum)
        location = {"Location": f"{PATH}{stream.upload_id}"}
        return Response(status_code=HTTPStatus.CREATED, headers=self._headers(stream) | location)

    async def _first(self, request: Request, stream: Stream, checksum: Checksum | None) -> Stream:
        """Append what came with the creation; when that fails nobody knows the upload, so it goes."""
        try:
            return await self._take(request, stream.upload_id, 0, checksum)
        except (VisemeError, ConnectionError, _RefusedError):
            with suppress(NotFoundError):
                await self._uploads.delete(stream.upload_id)
            raise

    async def _status(self, request: Request) -> Response:
        stream = await self._uploads.status(_upload_id(request))
        told = {"Upload-Length": str(stream.size_bytes)}
        if stream.metadata:
            told["Upload-Metadata"] = stream.metadata
        if stream.parts:
            told["Upload-Concat"] = "final;" + " ".join(PATH + part for part in stream.parts)
        elif stream.is_part:
            told["Upload-Concat"] = "partial"
        return Response(status_code=HTTPStatus.OK, headers=self._headers(stream) | told)

    async def _append(self, request: Request) -> Response:
        _check_type(request)
        upload_id = _upload_id(request)
        offset = _number(request, "Upload-Offset")
        stream = await self._take(request, upload_id, offset, _checksum(request))
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=self._headers(stream))

    async def _take(self, request: Request, upload_id: str, offset: int, checksum: Checksum | None) -> Stream:
        length = _number(request, "Content-Length") if "content-length" in request.headers else None
        try:
            async with aclosing(_body(request)) as body:
                return await self._uploads.append(upload_id, offset, body, length=length, checksum=checksum)
        except VisemeError as error:
            if error.field not in _STATUSES:
                raise
            raise _RefusedError(_STATUSES[error.field], error.message, error.field) from error

    async def _delete(self, request: Request) -> Response:
        await self._uploads.delete(_upload_id(request))
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=_HEADERS)

    def _headers(self, stream: Stream) -> dict[str, str]:
        headers = {**_HEADERS, "Upload-Offset": str(stream.offset_bytes)}
        if stream.asset_id:
            headers[ASSET_HEADER] = stream.asset_id
        else:
            headers["Upload-Expires"] = formatdate(self._uploads.expires_us(stream) / 1e6, usegmt=True)
        return headers


def _handler(handlers: Mapping[str, _Handler], method: str) -> _Handler:
    handler = handlers.get(method)
    if handler is None:
        raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} means nothing here", "")
    return handler


async def _body(request: Request) -> AsyncGenerator[bytes, None]:
    try:
        async for data in request.stream():
            yield data
    except ClientDisconnect:
        raise ConnectionError("the client went away") from None


async def _read_away(request: Request) -> None:
    """Read a little of a body that nobody wants."""
    unread = _UNREAD_BYTES
    if "expect" in request.headers or not _has_body(request):
        return
    with suppress(ConnectionError, RuntimeError, TimeoutError):  # gone, read before, or silent
        async with asyncio.timeout(_UNREAD_S), aclosing(_body(request)) as body:
            async for data in body:
                unread -= len(data)
                if unread < 0:
                    break


def _problem(error: VisemeError, status: int, more: Mapping[str, str], *, with_body: bool) -> Response:
    headers = {**_HEADERS, **more, **({"Tus-Version": _VERSION} if status == HTTPStatus.PRECONDITION_FAILED else {})}
    if not with_body:
        return Response(status_code=status, headers=headers)
    return refusal(error, headers=headers, status=status)


def _check_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != _VERSION:
        message = f"this speaks tus {_VERSION}; say so in Tus-Resumable"
        raise _RefusedError(HTTPStatus.PRECONDITION_FAILED, message, "Tus-Resumable")


def _check_origin(request: Request) -> None:
    """Refuse what a page of another host asks a browser to do."""
    header = foreign_header(request)
    if header:
        raise _RefusedError(HTTPStatus.FORBIDDEN, "pages of other hosts may not upload here", header)


def _check_type(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _BODY_TYPE:
        raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"bytes come as {_BODY_TYPE}", "Content-Type")


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _upload_id(request: Request) -> str:
    upload_id: str = request.path_params["upload_id"]
    if not is_upload_id(upload_id):
        raise NotFoundError("this edge has no such upload", field="upload_id")
    return upload_id


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not _NUMBER.fullmatch(text):
        raise InvalidInputError(f"{header} must be a number of bytes", field=header)
    return int(text)


def _new(request: Request, limits: StreamLimits) -> tuple[NewStream, tuple[str, ...]]:
    """The upload that a request asks for, and the uploads that it is to be put together from."""
    metadata = request.headers.get("upload-metadata", "")
    name = _name(metadata, limits)
    kind, _, listed = request.headers.get("upload-concat", "").partition(";")
    if kind == "final":
        if "upload-length" in request.headers or _has_body(request):
            raise InvalidInputError("its parts give the length and the bytes", field="Upload-Length")
        return NewStream(size_bytes=0, display_name=name, metadata=metadata), _parts(listed)
    if kind not in {"", "partial"} or listed:
        raise InvalidInputError("it is partial, or final with a list of uploads", field="Upload-Concat")
    if "upload-defer-length" in request.headers:
        raise InvalidInputError("the length must be known at the beginning", field="Upload-Defer-Length")
    size = _number(request, "Upload-Length")
    return NewStream(size_bytes=size, display_name=name, metadata=metadata, is_part=kind == "partial"), ()


def _parts(listed: str) -> tuple[str, ...]:
    parts = []
    for address in listed.split():
        path = urlsplit(address).path
        upload_id = path.removeprefix(PATH)
        if path == upload_id or not is_upload_id(upload_id):
            raise InvalidInputError("a part is none of this edge's uploads", field="Upload-Concat")
        parts.append(upload_id)
    if not parts:
        raise InvalidInputError("the list of parts is empty", field="Upload-Concat")
    return tuple(parts)


def _name(metadata: str, limits: StreamLimits) -> str:
    """The name in an upload's metadata, made safe to show."""
    if len(metadata) > limits.metadata_bytes:
        message = f"metadata may have at most {limits.metadata_bytes} bytes, these have {len(metadata)}"
        raise LimitExceededError(message, field="Upload-Metadata", limit="tus_metadata_bytes")
    values: dict[str, str] = {}
    for pair in filter(None, map(str.strip, metadata.split(","))):
        key, _, value = pair.partition(" ")
        if not _KEY.fullmatch(key) or key in values:
            raise InvalidInputError("each key stands once, in printable ASCII", field="Upload-Metadata")
        values[key] = _decode(value.strip(), "Upload-Metadata").decode(errors="replace")
    return display_name(values.get("filename") or values.get("name", ""))


def _checksum(request: Request) -> Checksum | None:
    header = request.headers.get("upload-checksum")
    if header is None:
        return None
    algorithm, _, value = header.partition(" ")
    if algorithm not in _DIGEST_BYTES:
        raise InvalidInputError(f"checksums are {' or '.join(CHECKSUMS)}", field="Upload-Checksum")
    decoded = _decode(value.strip(), "Upload-Checksum")
    if len(decoded) != _DIGEST_BYTES[algorithm]:
        raise InvalidInputError(f"{algorithm} has {_DIGEST_BYTES[algorithm]} bytes", field="Upload-Checksum")
    return Checksum(algorithm=algorithm, value=decoded)


def _decode(value: str, field: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInputError("this is not base64", field=field) from None
