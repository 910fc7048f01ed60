"""Requests that no client of ours would send: every field of every message with values that nobody expects."""

from random import Random

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_TEXTS = (
    "",
    "a",
    "../../../etc/passwd",
    "lib:x/../../etc/passwd",
    "lib:" + "a/" * 300,
    "job-" + "0" * 20,
    "0" * 64,
    "\u202egpj.exe\u202c",
    "\x00",
    "%00%2e%2e%2f",
    "x" * 4000,
    "'; DROP TABLE jobs; --",
    "http://169.254.169.254/latest",
    "\U0001f444" * 40,
)
_INTEGERS = (0, 1, 2, 255, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)
_FLOATS = (0.0, -1.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"), 0.5)
_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (31, True),
    FieldDescriptor.CPPTYPE_INT64: (63, True),
    FieldDescriptor.CPPTYPE_UINT32: (32, False),
    FieldDescriptor.CPPTYPE_UINT64: (64, False),
}
_DEEPEST = 5
_ODDS = 0.75


def fill(message: Message, chance: Random, depth: int = 0) -> Message:
    """Set most fields of a message, and those of the messages in it; gives the message."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() > _ODDS or depth > _DEEPEST:
            continue
        if field.is_repeated:
            _fill_list(message, field, chance, depth)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            fill(getattr(message, field.name), chance, depth + 1)
            getattr(message, field.name).SetInParent()
        else:
            setattr(message, field.name, _value(field, chance))
    return message


def _fill_list(message: Message, field: FieldDescriptor, chance: Random, depth: int) -> None:
    values = getattr(message, field.name)
    for _ in range(chance.choice((0, 1, 1, 3, 40))):
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            fill(values.add(), chance, depth + 1)
        else:
            values.append(_value(field, chance))


def _value(field: FieldDescriptor, chance: Random) -> object:
    kind = field.cpp_type
    if kind in _BITS:
        bits, signed = _BITS[kind]
        value = chance.choice((chance.choice(_INTEGERS), chance.getrandbits(64))) & ((1 << bits) - 1)
        return -value if signed and chance.random() < 0.3 else value
    if kind in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        return chance.choice(_FLOATS) if kind == FieldDescriptor.CPPTYPE_DOUBLE else chance.choice((0.0, -1.0, 3e38))
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        known = [value.number for value in field.enum_type.values]
        return chance.choice((chance.choice(known), 99, -1, 2**31 - 1))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.choice((0, 1, 20, 32, 32, 5000)))
    return chance.choice(_TEXTS)
