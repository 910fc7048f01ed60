import contextlib
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_gateway.provenance.certificate import Certificate
from shared.errors import InvalidInputError, InvalidMediaError, LimitExceededError
from shared.provenance.examine import MOST_MANIFEST_BYTES, examine
from shared.provenance.finding import Finding, Standing, Trust, in_words
from shared.provenance.verify import verify
from tests.signing import CLIP, Recorder, boxes_of, certificate_in, signed
from tests.unit.edge_gateway.test_finish import EVEN, finished, tone, write_wav

TAG = {"generator": "viseme 1", "engine": "warp"}


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return certificate_in(tmp_path / "signing", "edge of the north")


@pytest.fixture
def result(tmp_path: Path, certificate: Certificate) -> Path:
    speech = write_wav(tmp_path / "s.wav", tone(2, 16_000), 16_000)
    film, _, _ = finished(tmp_path, EVEN, speech, tag=json.dumps(TAG), producer="北 studio")
    return signed(film, tmp_path / "result.mp4", certificate)


def looked_at(path: Path, trust: str = "") -> Finding:
    channel: Any = Recorder()
    examine(channel, {"path": str(path), "trust": trust})
    (told,) = channel.headers
    return Finding.of(json.loads(json.dumps(told)))


def changed(path: Path, change: Callable[[bytearray], None]) -> Path:
    data = bytearray(path.read_bytes())
    change(data)
    other = path.with_name("changed.mp4")
    other.write_bytes(data)
    return other


async def test_a_result_holds_and_says_all_that_it_is(result: Path) -> None:
    finding = await verify(result, None)
    assert finding.standing is Standing.HOLDS
    assert finding.says_generated
    assert finding.signed is not None
    assert (finding.signed.signer, finding.signed.trust) == ("edge of the north", Trust.SELF_MADE)
    assert finding.signed.generated
    assert finding.signed.signature_holds
    assert finding.signed.content_holds
    assert finding.aigc is not None
    assert (finding.aigc["Label"], finding.aigc["ContentProducer"]) == ("1", "北 studio")
    assert len(finding.aigc["ProduceID"]) == 32
    assert finding.tag == TAG
    words = "\n".join(in_words(finding, "result.mp4"))
    assert "holds" in words
    assert "self-made" in words


async def test_who_is_named_vouches_and_nobody_else(result: Path, tmp_path: Path) -> None:
    certificate_in(tmp_path / "others", "another edge")
    own = await verify(result, tmp_path / "signing" / "certificate.pem")
    assert own.signed is not None
    assert (own.standing, own.signed.trust) == (Standing.HOLDS, Trust.TRUSTED)
    other = await verify(result, tmp_path / "others" / "certificate.pem")
    assert other.standing is Standing.BROKEN
    assert "nobody vouches" in " ".join(other.faults)


def test_what_a_file_says_does_no_harm_to_a_terminal(tmp_path: Path) -> None:
    bad = "\x1b]0;x\x07\x9b2J" + "y" * 5000
    speech = write_wav(tmp_path / "s.wav", tone(2, 16_000), 16_000)
    film, _, _ = finished(tmp_path, EVEN, speech, tag=json.dumps({"engine": bad}), producer=bad[:900])
    lines = in_words(looked_at(film), "x.mp4")
    assert all(line.isprintable() and len(line) <= 500 for line in lines)
    assert any("?]0;x??2J" in line for line in lines)


@pytest.mark.parametrize("kind", ["mdat", "moov", "free"])
def test_no_byte_of_the_film_can_be_changed(result: Path, kind: str) -> None:
    box = boxes_of(result)[kind]
    luck = random.Random(7)
    for place in [box.end - 1, *(luck.randrange(box.content, box.end + 1) - 1 for _ in range(40))]:

        def flip(data: bytearray, place: int = place) -> None:
            data[place] ^= 0x40

        try:
            finding = looked_at(changed(result, flip))
        except InvalidMediaError:
            continue  # the change has made it no MP4
        assert finding.standing is Standing.BROKEN
        assert finding.faults
        if kind == "mdat":
            assert finding.faults == ("the film is not the one that was signed",)


def test_no_byte_of_the_manifest_makes_more_than_a_finding(result: Path) -> None:
    box = boxes_of(result)["uuid"]
    luck, standings = random.Random(8), set()
    for place in (luck.randrange(box.content, box.end) for _ in range(150)):

        def flip(data: bytearray, place: int = place) -> None:
            data[place] ^= 1 << luck.randrange(8)

        standings.add(looked_at(changed(result, flip)).standing)
    assert Standing.BROKEN in standings


@pytest.mark.parametrize(("old", "new"), [(b'"Label":"1"', b'"Label":"3"'), (b"mp4a", b"mp4b")])
def test_metadata_are_covered(result: Path, old: bytes, new: bytes) -> None:
    def swap(data: bytearray) -> None:
        assert old in data
        data[:] = data.replace(old, new)

    assert looked_at(changed(result, swap)).standing is Standing.BROKEN


def test_another_signature_is_told(result: Path, tmp_path: Path) -> None:
    other = signed(CLIP, tmp_path / "clip.mp4", certificate_in(tmp_path / "signing"))
    theirs = boxes_of(other)["uuid"]
    manifest = other.read_bytes()[theirs.start : theirs.end]

    def put_in(data: bytearray) -> None:
        ours = boxes_of(result)["uuid"]
        data[ours.start : ours.end] = manifest

    assert looked_at(changed(result, put_in)).standing is Standing.BROKEN


def test_something_added_is_told(result: Path) -> None:
    def add(data: bytearray) -> None:
        data.extend(struct.pack(">I4s", 16, b"free") + b"12345678")

    assert looked_at(changed(result, add)).standing is Standing.BROKEN


def test_a_manifest_removed_leaves_nothing_to_check(result: Path) -> None:
    def strip(data: bytearray) -> None:
        box = boxes_of(result)["uuid"]
        data[box.start + 4 : box.start + 24] = b"free" + bytes(16)

    finding = looked_at(changed(result, strip))
    assert finding.standing is Standing.UNSIGNED
    assert finding.signed is None
    assert finding.says_generated, "what is left says so yet"
    assert "not signed" in in_words(finding, "x")[-1]


def test_a_film_of_somebody_else_claims_nothing() -> None:
    finding = looked_at(CLIP)
    assert (finding.standing, finding.says_generated, finding.tag, finding.aigc) == (
        Standing.UNSIGNED,
        False,
        None,
        None,
    )


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(50), bytes(5000)])
async def test_what_is_no_film_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    with pytest.raises(InvalidMediaError, match="no MP4"):
        await verify(path, None)


def test_a_film_cut_off_is_refused(result: Path) -> None:
    with pytest.raises(InvalidMediaError, match="cut off"):
        looked_at(changed(result, lambda data: data.__delitem__(slice(len(data) - 1000, None))))


async def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is no file"):
        await verify(tmp_path / "none.mp4", None)
    with pytest.raises(InvalidInputError, match="PEM"):
        await verify(CLIP, CLIP)
    with pytest.raises(InvalidInputError, match="PEM"):
        await verify(CLIP, tmp_path / "none.pem")


def test_a_manifest_without_end_is_not_read(result: Path) -> None:
    def grow(data: bytearray) -> None:
        box = boxes_of(result)["uuid"]
        data[box.start : box.start + 4] = struct.pack(">I", MOST_MANIFEST_BYTES + 100)
        data[box.end : box.end] = bytes(MOST_MANIFEST_BYTES + 100 - box.size)

    with pytest.raises(LimitExceededError, match="manifest"):
        looked_at(changed(result, grow))


def test_random_changes_end_in_a_finding_or_an_error_of_ours(result: Path) -> None:
    luck, whole = random.Random(9), result.read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(luck.choice([1, 3, 30])):
            data[luck.randrange(4000)] = luck.randrange(256)
        path = result.with_name("noise.mp4")
        path.write_bytes(data[: luck.choice([len(data), len(data), luck.randrange(len(data))])])
        with contextlib.suppress(InvalidInputError):
            assert looked_at(path).standing in Standing
