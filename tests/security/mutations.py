"""Damage done to files as an attacker would do it: most often where lengths, counts and offsets stand."""

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

_MARKS = re.compile(
    rb"moov|mvhd|trak|tkhd|mdhd|hdlr|stsd|stts|stss|ctts|stsc|stsz|stco|co64|elst|avcC|hvcC|av1C|esds|moof|traf|trun|tfhd"
    rb"|mdat|ftyp|uuid|RIFF|fmt |data|LIST|strh|strf|idx1|movi|OggS|OpusHead|vorbis|fLaC|ID3|FLV|IHDR|IDAT|PLTE"
    rb"|\x1a\x45\xdf\xa3|\x18\x53\x80\x67|\x16\x54\xae\x6b|\x1f\x43\xb6\x75|\xff\xd8|\xff\xc0|\xff\xc4|\xff\xda"
)
_VALUES = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_NEAR = 24
_BLOCK = 4096
_TIMES = (1, 1, 1, 2, 3, 6)


def mutated(data: bytes, others: Sequence[bytes], seed: int) -> bytes:
    """A damaged copy of a file; the same seed gives the same damage.

    Args:
        data: The file.
        others: Files from which pieces may be put in.
        seed: Says what is done.
    """
    chance = Random(seed)
    damaged = bytearray(data)
    marks = [found.start() for found in _MARKS.finditer(data)] or [0]
    for _ in range(chance.choice(_TIMES)):
        if damaged:
            chance.choice(_WAYS)(damaged, marks, others, chance)
    return bytes(damaged)


_Way = Callable[[bytearray, Sequence[int], Sequence[bytes], Random], None]


def _place(damaged: bytearray, marks: Sequence[int], chance: Random) -> int:
    if chance.random() < 0.7:
        place = chance.choice(marks) + chance.randint(-8, _NEAR)
    else:
        place = chance.randrange(len(damaged))
    return min(max(place, 0), len(damaged) - 1)


def _flip(damaged: bytearray, marks: Sequence[int], _others: Sequence[bytes], chance: Random) -> None:
    for _ in range(chance.choice((1, 1, 4, 64))):
        damaged[_place(damaged, marks, chance)] ^= 1 << chance.randrange(8)


def _number(damaged: bytearray, marks: Sequence[int], _others: Sequence[bytes], chance: Random) -> None:
    place = _place(damaged, marks, chance)
    kind = chance.choice((">B", ">H", "<H", ">I", "<I", ">Q", "<Q"))
    size = struct.calcsize(kind)
    value = chance.choice((chance.choice(_VALUES), chance.getrandbits(8 * size))) & ((1 << 8 * size) - 1)
    damaged[place : place + size] = struct.pack(kind, value)


def _step(damaged: bytearray, marks: Sequence[int], _others: Sequence[bytes], chance: Random) -> None:
    place = _place(damaged, marks, chance)
    damaged[place] = (damaged[place] + chance.choice((-1, 1, 16, -16))) % 256


def _remove(damaged: bytearray, marks: Sequence[int], _others: Sequence[bytes], chance: Random) -> None:
    place = _place(damaged, marks, chance)
    del damaged[place : place + chance.randint(1, chance.choice((8, _BLOCK)))]


def _repeat(damaged: bytearray, marks: Sequence[int], _others: Sequence[bytes], chance: Random) -> None:
    place = _place(damaged, marks, chance)
    damaged[place:place] = damaged[place : place + chance.randint(1, _BLOCK)] * chance.choice((1, 1, 8))


def _move(damaged: bytearray, marks: Sequence[int], _others: Sequence[bytes], chance: Random) -> None:
    place, size = _place(damaged, marks, chance), chance.randint(1, _BLOCK)
    block = damaged[place : place + size]
    del damaged[place : place + size]
    target = chance.randrange(len(damaged) + 1)
    damaged[target:target] = block


def _cut(damaged: bytearray, marks: Sequence[int], _others: Sequence[bytes], chance: Random) -> None:
    del damaged[_place(damaged, marks, chance) :]


def _graft(damaged: bytearray, marks: Sequence[int], others: Sequence[bytes], chance: Random) -> None:
    other = chance.choice(others)
    begin = chance.randrange(len(other))
    place = _place(damaged, marks, chance)
    piece = other[begin : begin + chance.randint(1, _BLOCK)]
    damaged[place : place + chance.choice((0, len(piece)))] = piece


def _noise(damaged: bytearray, marks: Sequence[int], _others: Sequence[bytes], chance: Random) -> None:
    place = _place(damaged, marks, chance)
    damaged[place : place + chance.choice((0, 16))] = chance.randbytes(chance.randint(1, 256))


_WAYS: tuple[_Way, ...] = (_flip, _number, _number, _number, _step, _remove, _repeat, _move, _cut, _graft, _noise)
