"""Uploads by tus 1.0, as :mod:`edge_gateway.web.openapi` writes them down; tus itself says what each means."""

from http import HTTPStatus
from typing import Final

from edge_gateway.web.openapi import Answer, Body, Operation, Parameter

_BODY: Final = Body(
    media_type="application/offset+octet-stream", schema={"type": "string", "format": "binary"}, required=False
)
_NUMBER: Final = {"type": "integer", "minimum": 0}
_VERSION: Final = Parameter(
    name="Tus-Resumable", where="header", words="tus's version.", schema={"const": "1.0.0"}, required=True
)
_UPLOAD: Final = Parameter(
    name="upload_id", where="path", words="The upload.", schema={"type": "string", "pattern": "^[0-9a-f]{32}$"}
)
_CHECKSUM: Final = Parameter(
    name="Upload-Checksum",
    where="header",
    words="sha1 or sha256, and its base64.",
)
_HERE: Final = ("Tus-Resumable", "Upload-Offset")


def _operation(method: str, path: str, name: str, words: str, *answers: Answer, **more: object) -> Operation:
    return Operation(method=method, path=path, name=name, tag="uploads", words=words, answers=answers, **more)  # type: ignore[arg-type]  # passed on


TUS_OPERATIONS: Final = (
    _operation(
        "OPTIONS",
        "/files/",
        "tusOptions",
        "What of tus the edge speaks.",
        Answer(words="In headers.", status=HTTPStatus.NO_CONTENT, headers=("Tus-Version", "Tus-Extension")),
    ),
    _operation(
        "POST",
        "/files/",
        "createUpload",
        "Opens an upload, with its first bytes or without, or puts parts together.",
        Answer(words="It is open.", status=HTTPStatus.CREATED, headers=("Location", *_HERE)),
        parameters=[
            _VERSION,
            Parameter(name="Upload-Length", where="header", words="Bytes in all.", schema=_NUMBER),
            Parameter(name="Upload-Metadata", where="header", words="`filename` and the name in base64."),
            Parameter(name="Upload-Concat", where="header", words="`partial`, or `final;` and the addresses of parts."),
            _CHECKSUM,
        ],
        body=_BODY,
    ),
    _operation(
        "OPTIONS",
        "/files/{upload_id}",
        "tusOptionsOfUpload",
        "The same.",
        Answer(words="In headers.", status=HTTPStatus.NO_CONTENT, headers=("Tus-Version", "Tus-Extension")),
        parameters=[Parameter(name="upload_id", where="path", words="Any.")],
    ),
    _operation(
        "HEAD",
        "/files/{upload_id}",
        "uploadStatus",
        "How far an upload is, and what asset it has become.",
        Answer(words="`Viseme-Asset-Id` once it is an asset.", headers=_HERE),
        parameters=[_UPLOAD, _VERSION],
    ),
    _operation(
        "PATCH",
        "/files/{upload_id}",
        "appendToUpload",
        "Appends bytes to an upload.",
        Answer(words="They are safe.", status=HTTPStatus.NO_CONTENT, headers=_HERE),
        parameters=[
            _UPLOAD,
            _VERSION,
            Parameter(name="Upload-Offset", where="header", words="Where they belong.", schema=_NUMBER, required=True),
            _CHECKSUM,
        ],
        body=_BODY,
    ),
    _operation(
        "DELETE",
        "/files/{upload_id}",
        "deleteUpload",
        "Forgets an upload; an asset that it became stays.",
        Answer(words="It is gone.", status=HTTPStatus.NO_CONTENT),
        parameters=[_UPLOAD, _VERSION],
    ),
)
