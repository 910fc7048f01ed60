"""Writing CBOR (RFC 8949): the few kinds of values that a C2PA manifest consists of, each in its shortest form."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_NULL = b"\xf6"
_SIZES = ((24, 0x100, ">B"), (25, 0x10000, ">H"), (26, 0x100000000, ">I"))


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value with a tag before it."""

    tag: int
    value: "Value"


Value = int | str | bytes | None | Tagged | Sequence["Value"] | Mapping[str, "Value"] | Mapping[int, "Value"]


def encode(value: Value) -> bytes:
    """The bytes of a value; maps keep their order."""
    match value:
        case None:
            told = _NULL
        case int():
            told = _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
        case bytes():
            told = _head(_BYTES, len(value)) + value
        case str():
            told = _head(_TEXT, len(value.encode())) + value.encode()
        case Tagged():
            told = _head(_TAG, value.tag) + encode(value.value)
        case Mapping():
            told = _head(_MAP, len(value)) + b"".join(encode(key) + encode(one) for key, one in value.items())
        case _:
            told = _head(_ARRAY, len(value)) + b"".join(map(encode, value))
    return told


def _head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes([kind << 5 | number])
    for code, limit, size in _SIZES:
        if number < limit:
            return bytes([kind << 5 | code]) + struct.pack(size, number)
    return bytes([kind << 5 | 27]) + struct.pack(">Q", number)
