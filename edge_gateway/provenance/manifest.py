"""The C2PA manifest of a result (C2PA 2.1: claims of version 2), written by hand.

The reference library salts its boxes at random, writes the film to a temporary file and holds it in memory; here the
same film and the same certificate give the same bytes, and nothing of the film is kept. That it is right is tested
with the reference library, by which ``viseme verify`` reads it.
"""

import hashlib
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge_gateway.provenance.cbor import Tagged, Value, encode
from shared.provenance.boxes import C2PA_UUID

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's word for a picture of the world in which a trained network has made a part."""
EXCLUDED = frozenset({"ftyp", "mfra"})
"""Boxes beside the manifest that its hash leaves out, as C2PA demands; all others are covered."""

_KIND = "{}-0011-0010-8000-00aa00389b71"
_STORE, _MANIFEST, _ASSERTIONS, _CLAIM, _SIGNATURE, _CBOR = (b"c2pa", b"c2ma", b"c2as", b"c2cl", b"c2cs", b"cbor")
_LABELLED = 3  # of a description box: may be asked for, has a label
_X5CHAIN, _ALGORITHM, _SIGN1 = 33, 1, 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signs."""

    algorithm: int
    """COSE's number for it."""
    chain: Sequence[bytes]
    """Certificates in DER, the signer's first."""
    sign: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is said of a film."""

    title: str
    version: str
    """Of viseme."""
    description: str


def manifest_box(claim: Claim, film: bytes, signer: Signer) -> bytes:
    """The box that holds the manifest; its length depends on neither the film nor what the signature turns out to be.

    Args:
        claim: What is said.
        film: The film's hash, SHA-256 over each of its boxes with its place before it (C2PA's ``c2pa.hash.bmff.v3``).
        signer: Who signs it.
    """
    # Both are told apart from others' by the film: C2PA wants UUIDs of version 4, and these are no less unique.
    name = "urn:c2pa:" + str(uuid.UUID(bytes=hashlib.sha256(b"manifest" + film).digest()[:16], version=4))
    instance = "xmp:iid:" + str(uuid.UUID(bytes=hashlib.sha256(b"instance" + film).digest()[:16], version=4))
    assertions = {"c2pa.actions.v2": _actions(claim), "c2pa.hash.bmff.v3": _film_hash(film)}
    described = {label: _described(_CBOR, label, _box(b"cbor", encode(told))) for label, told in assertions.items()}
    said = encode(
        {
            "instanceID": instance,
            "claim_generator_info": {"name": "viseme", "version": claim.version},
            "signature": f"self#jumbf=/c2pa/{name}/c2pa.signature",
            "created_assertions": [
                {"url": f"self#jumbf=c2pa.assertions/{label}", "hash": hashlib.sha256(content).digest()}
                for label, content in described.items()
            ],
            "dc:title": claim.title,
            "alg": "sha256",
        }
    )
    store = _super(
        _STORE,
        "c2pa",
        _super(
            _MANIFEST,
            name,
            _super(_ASSERTIONS, "c2pa.assertions", *(_box(b"jumb", content) for content in described.values())),
            _super(_CLAIM, "c2pa.claim.v2", _box(b"cbor", said)),
            _super(_SIGNATURE, "c2pa.signature", _box(b"cbor", _signed(said, signer))),
        ),
    )
    return _box(b"uuid", C2PA_UUID, b"\0\0\0\0", b"manifest\0", b"\0" * 8, store)


def _actions(claim: Claim) -> Mapping[str, Value]:
    created: Mapping[str, Value] = {
        "action": "c2pa.created",
        "digitalSourceType": SOURCE_TYPE,
        "softwareAgent": {"name": "viseme", "version": claim.version},
        "description": claim.description,
    }
    return {"actions": [created]}


def _film_hash(film: bytes) -> Mapping[str, Value]:
    itself: Mapping[str, Value] = {"xpath": "/uuid", "data": [{"offset": 8, "value": C2PA_UUID}]}
    others: list[Mapping[str, Value]] = [{"xpath": f"/{kind}"} for kind in sorted(EXCLUDED)]
    return {"exclusions": [itself, *others], "alg": "sha256", "hash": film, "name": "jumbf manifest"}


def _signed(claim: bytes, signer: Signer) -> bytes:
    """COSE_Sign1 (RFC 9052) over a claim that stands elsewhere."""
    chain = signer.chain[0] if len(signer.chain) == 1 else signer.chain
    protected = encode({_ALGORITHM: signer.algorithm, _X5CHAIN: chain})
    signature = signer.sign(encode(["Signature1", protected, b"", claim]))
    nothing: Mapping[str, Value] = {}
    return encode(Tagged(_SIGN1, [protected, nothing, None, signature]))


def _super(kind: bytes, label: str, *content: bytes) -> bytes:
    return _box(b"jumb", _described(kind, label, *content))


def _described(kind: bytes, label: str, *content: bytes) -> bytes:
    about = uuid.UUID(_KIND.format(kind.hex())).bytes + bytes([_LABELLED]) + label.encode() + b"\0"
    return _box(b"jumd", about) + b"".join(content)


def _box(kind: bytes, *content: bytes) -> bytes:
    inside = b"".join(content)
    return struct.pack(">I4s", len(inside) + 8, kind) + inside
