"""Certificates and signed films for tests."""

import atexit
import hashlib
import shutil
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from edge_gateway.provenance.certificate import Certificate
from edge_gateway.provenance.sign import sign
from shared.provenance.boxes import Box, boxes_in

CLIP = Path(__file__).resolve().parent / "media" / "clip.mp4"
NOW = datetime.now(UTC)


class Recorder:
    """A channel whose messages are kept."""

    def __init__(self) -> None:
        self.headers: list[dict[str, Any]] = []

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        assert not payload
        self.headers.append(header)


def certificate_in(folder: Path, edge: str = "edge") -> Certificate:
    """An edge's own certificate."""
    return Certificate.own_in(folder, edge, now=NOW)


@cache
def same_signer() -> dict[str, str]:
    """Settings with which all edges of a run of tests sign by the same certificate.

    The same result is then the same file, byte for byte, whichever edge has made it.
    """
    folder = Path(tempfile.mkdtemp(prefix="viseme-signing-"))
    atexit.register(shutil.rmtree, folder)
    certificate_in(folder)
    return {"sign_certificate": str(folder / "certificate.pem"), "sign_key": str(folder / "key.pem")}


def signing_flags() -> tuple[str, ...]:
    """The same as flags."""
    return tuple(f"--{name.replace('_', '-')}={value}" for name, value in same_signer().items())


def signed(film: Path, output: Path, certificate: Certificate) -> Path:
    """A film with a manifest."""
    claim = {"title": "Dubbed video", "version": "1", "description": "made for a test"}
    order = {"path": str(film), "output": str(output), "claim": claim}
    channel: Any = Recorder()
    sign(channel, certificate.arguments() | order)
    assert channel.headers == [{"kind": "signed", "size_bytes": output.stat().st_size}]
    return output


def film_digest(path: Path) -> str:
    """A digest of a film without its manifest, which differs where every edge signs with a certificate of its own.

    Those are equally long, so that everything else stands at the same place.
    """
    data, box = path.read_bytes(), boxes_of(path)["uuid"]
    return hashlib.sha256(data[: box.start] + data[box.end :]).hexdigest()


def boxes_of(path: Path) -> dict[str, Box]:
    """A film's boxes by kind."""
    with path.open("rb") as file:
        return {box.kind: box for box in boxes_in(file, 0, path.stat().st_size)}
