"""Signing a finished film: it is copied with a C2PA manifest in it."""

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from edge_gateway.provenance.key import signer_of
from edge_gateway.provenance.manifest import EXCLUDED, Claim, manifest_box
from shared.errors import InternalError
from shared.media.sandbox import Channel
from shared.provenance.boxes import Box, boxes_in

_PIECE_BYTES = 1 << 20
_MOST_MOOV = 512 << 20
_TABLES = {"stco": ">I", "co64": ">Q"}
_NESTS = frozenset({"trak", "mdia", "minf", "stbl"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOrder:
    """The arguments of the task."""

    path: Path
    output: Path
    chain: str
    """Certificates in PEM, the signer's first."""
    key: str
    """The signer's key, in PEM."""
    claim: Claim

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> Self:
        """From JSON values, all of them."""
        return cls(
            path=Path(arguments["path"]),
            output=Path(arguments["output"]),
            chain=arguments["chain"],
            key=arguments["key"],
            claim=Claim(**arguments["claim"]),
        )


def sign(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: copy a faststart MP4 that viseme made, with a signed manifest behind its first box.

    Arguments are those of :meth:`SignOrder.of`. The copy is on disk when the task answers ``{"kind": "signed",
    "size_bytes"}``; with a key for Ed25519 or ECDSA the same arguments give the same bytes.
    """
    order = SignOrder.of(arguments)
    signer = signer_of(order.chain, order.key)
    blank = manifest_box(order.claim, bytes(32), signer)
    with order.path.open("rb") as film, order.output.open("wb") as output:
        boxes = list(boxes_in(film, 0, order.path.stat().st_size))
        if boxes[0].kind != "ftyp":
            raise InternalError("a result does not begin as an MP4 does")
        output.write(b"".join(_pieces(film, boxes[0])) + bytes(len(blank)))
        digest = hashlib.sha256()
        for box in boxes[1:]:
            if box.kind not in EXCLUDED:
                digest.update(struct.pack(">Q", output.tell()))
            for piece in _shifted(film, box, len(blank)) if box.kind == "moov" else _pieces(film, box):
                if box.kind not in EXCLUDED:
                    digest.update(piece)
                output.write(piece)
        manifest = manifest_box(order.claim, digest.digest(), signer)
        if len(manifest) != len(blank):
            raise InternalError("a manifest has another length than was left for it")
        output.seek(boxes[0].size)
        output.write(manifest)
        output.flush()
        os.fsync(output.fileno())
    channel.send({"kind": "signed", "size_bytes": order.output.stat().st_size})


def _pieces(film: BinaryIO, box: Box) -> Iterator[bytes]:
    film.seek(box.start)
    left = box.size
    while left:
        piece = film.read(min(left, _PIECE_BYTES))
        if not piece:
            raise InternalError("a result is shorter than it was")
        left -= len(piece)
        yield piece


def _shifted(film: BinaryIO, moov: Box, by: int) -> Iterator[bytes]:
    """The film's index, in which every place lies so many bytes later."""
    if moov.size > _MOST_MOOV:
        raise InternalError("a result's index is too large")
    data = bytearray(b"".join(_pieces(film, moov)))
    for table in _tables(film, moov):
        places = _TABLES[table.kind]
        count_at = table.content - moov.start + 4
        (count,) = struct.unpack_from(">I", data, count_at)
        format_ = f">{count}{places[1]}"
        later = [place + by for place in struct.unpack_from(format_, data, count_at + 4)]
        try:
            struct.pack_into(format_, data, count_at + 4, *later)
        except struct.error:
            raise InternalError("a result is too large for a manifest before its pictures") from None
    yield bytes(data)


def _tables(film: BinaryIO, box: Box) -> Iterator[Box]:
    for inner in boxes_in(film, box.content, box.end):
        if inner.kind in _TABLES:
            yield inner
        elif inner.kind in _NESTS:
            yield from _tables(film, inner)
