import struct
from pathlib import Path
from typing import Any

import av
import pytest

from edge_gateway.provenance.cbor import Tagged, encode
from edge_gateway.provenance.sign import sign
from shared.errors import DiskFullError, InternalError
from shared.media.sandbox import ChildLimits, Reach, Sandbox
from shared.provenance.boxes import Box
from tests.signing import CLIP, Recorder, boxes_of, certificate_in, signed

CLAIM = {"title": "t", "version": "1", "description": "d"}


def packets(path: Path) -> list[tuple[int, int, bytes]]:
    with av.open(str(path)) as film:
        return [(packet.stream.index, packet.pts, bytes(packet)) for packet in film.demux() if packet.size]


def test_a_signed_film_has_the_same_pictures_and_sound_and_begins_at_once(tmp_path: Path) -> None:
    result = signed(CLIP, tmp_path / "a.mp4", certificate_in(tmp_path))
    assert packets(result) == packets(CLIP)
    assert list(boxes_of(result)) == ["ftyp", "uuid", "moov", "free", "mdat"]


def test_the_same_film_gives_the_same_bytes_and_another_one_another_id(tmp_path: Path) -> None:
    certificate = certificate_in(tmp_path)
    first, again = (signed(CLIP, tmp_path / name, certificate).read_bytes() for name in ("a.mp4", "b.mp4"))
    assert first == again
    other = tmp_path / "other.mp4"
    other.write_bytes(CLIP.read_bytes()[:-1] + b"x")
    changed = signed(other, tmp_path / "c.mp4", certificate).read_bytes()
    assert len(changed) == len(first)
    assert changed[: boxes_of(other)["ftyp"].size] == first[: boxes_of(other)["ftyp"].size]
    at = first.index(b"urn:c2pa:")
    assert changed[at : at + 45] != first[at : at + 45]


def test_certificates_of_edges_are_equally_long(tmp_path: Path) -> None:
    films = {signed(CLIP, tmp_path / f"{n}.mp4", certificate_in(tmp_path / str(n))).stat().st_size for n in range(5)}
    assert len(films) == 1


def test_a_film_too_large_for_its_places_is_refused(tmp_path: Path) -> None:
    data = bytearray(CLIP.read_bytes())
    at = data.index(b"stco") + 8
    struct.pack_into(">I", data, at + 4, 0xFFFFFF00)
    (tmp_path / "large.mp4").write_bytes(data)
    with pytest.raises(InternalError, match="too large"):
        signed(tmp_path / "large.mp4", tmp_path / "out.mp4", certificate_in(tmp_path))


def test_places_of_64_bits_are_shifted(tmp_path: Path) -> None:
    """A film beyond 4 GiB keeps them so; here a small one is written in its way."""
    data = bytearray(CLIP.read_bytes())
    grown = _with_large_places(data, boxes_of(CLIP))
    (tmp_path / "wide.mp4").write_bytes(grown)
    assert packets(tmp_path / "wide.mp4") == packets(CLIP)
    assert packets(signed(tmp_path / "wide.mp4", tmp_path / "out.mp4", certificate_in(tmp_path))) == packets(CLIP)


def _with_large_places(data: bytearray, boxes: dict[str, Box]) -> bytes:
    """The film with ``co64`` in place of ``stco``, and a 64-bit length of ``mdat``."""
    moov = bytes(data[boxes["moov"].start : boxes["moov"].end])
    tables = moov.count(b"stco")
    extra, at = 0, 0
    wide = bytearray(moov)
    for _ in range(tables):
        at = bytes(wide).index(b"stco", at)
        (count,) = struct.unpack_from(">I", wide, at + 8)
        extra += 4 * count
        places = struct.unpack_from(f">{count}I", wide, at + 12)
        table = b"co64" + bytes(4) + struct.pack(f">I{count}Q", count, *places)
        wide[at - 4 : at + 12 + 4 * count] = struct.pack(">I", len(table) + 4) + table
        _grow_parents(wide, at, 4 * count)
        at += len(table)
    later = extra + 8
    at = 0
    for _ in range(tables):
        at = bytes(wide).index(b"co64", at)
        (count,) = struct.unpack_from(">I", wide, at + 8)
        places = [place + later for place in struct.unpack_from(f">{count}Q", wide, at + 12)]
        struct.pack_into(f">{count}Q", wide, at + 12, *places)
        at += 12
    mdat = boxes["mdat"]
    large = struct.pack(">I4sQ", 1, b"mdat", mdat.size + 8) + data[mdat.content : mdat.end]
    return bytes(data[: boxes["moov"].start]) + bytes(wide) + bytes(data[boxes["free"].start : mdat.start]) + large


def _grow_parents(moov: bytearray, inside: int, by: int) -> None:
    """Lengthen the boxes around a place."""
    begin = 0
    while True:
        size, kind = struct.unpack_from(">I4s", moov, begin)
        if begin <= inside < begin + size + by and kind in {b"moov", b"trak", b"mdia", b"minf", b"stbl"}:
            struct.pack_into(">I", moov, begin, size + by)
            begin += 8
        elif kind == b"co64" and begin <= inside < begin + size:
            return
        else:
            begin += size


async def test_it_works_in_the_sandbox_and_tells_of_a_full_disk(tmp_path: Path, small_disk: Any) -> None:
    arguments = certificate_in(tmp_path).arguments() | {"path": str(CLIP), "claim": CLAIM, "field": "result"}
    async with Sandbox(preload=["edge_gateway.provenance.sign"]) as sandbox:

        async def write(output: Path) -> int:
            told, reach = {**arguments, "output": str(output)}, Reach(reads=(str(CLIP),), writes=(str(output),))
            size: int = (await sandbox.call(sign, told, ChildLimits(), 60, reach)).header["size_bytes"]
            return size

        assert await write(tmp_path / "out.mp4") == (tmp_path / "out.mp4").stat().st_size
        disk = small_disk(tmp_path / "disk", 64 << 10)
        with pytest.raises(DiskFullError):
            await write(disk / "out.mp4")


def test_something_else_than_a_result_is_a_fault_of_ours(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(struct.pack(">I4s", 8, b"free"))
    channel: Any = Recorder()
    order = {"path": str(tmp_path / "x.mp4"), "output": str(tmp_path / "y.mp4"), "claim": CLAIM}
    with pytest.raises(InternalError):
        sign(channel, certificate_in(tmp_path).arguments() | order)


@pytest.mark.parametrize(
    ("value", "told"),
    [  # RFC 8949, appendix A
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (1000, "1903e8"),
        (1_000_000, "1a000f4240"),
        (1_000_000_000_000, "1b000000e8d4a51000"),
        (-1, "20"),
        (-1000, "3903e7"),
        (None, "f6"),
        (b"\1\2\3\4", "4401020304"),
        ("ü", "62c3bc"),
        ([1, [2, 3]], "8201820203"),
        ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
        ({1: 2}, "a10102"),
        (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
        (Tagged(1, 1363896240), "c11a514b67b0"),
    ],
)
def test_cbor_is_as_the_standard_shows_it(value: Any, told: str) -> None:
    assert encode(value).hex() == told
