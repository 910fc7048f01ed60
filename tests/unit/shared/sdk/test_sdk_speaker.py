"""Who speaks: how users say it, and what of it reaches an edge."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import viseme
from shared.errors import InvalidInputError, LimitExceededError
from shared.sdk.model import FacePlace, Speaker
from shared.sdk.speaker import FILE_BYTES, MOST_PLACES, parts_of, read_file, read_speaker
from shared.sdk.testing import FakeEdge


def place(x: float, y: float, seconds: float = 0, width: float = 0, height: float = 0) -> FacePlace:
    return FacePlace(x=x, y=y, width=width, height=height, seconds=seconds)


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("left", Speaker(position="left")),
        ("640,300", Speaker(places=(place(640, 300),))),
        ("0.5, 0.25@2.5", Speaker(places=(place(0.5, 0.25, 2.5),))),
        ("640,300@1:07.5", Speaker(places=(place(640, 300, 67.5),))),
        ((640, 300), Speaker(places=(place(640, 300),))),
        ([640, 300, 9.5], Speaker(places=(place(640, 300, 9.5),))),
        (Speaker(position="right"), Speaker(position="right")),
    ],
)
def test_a_face_is_named_in_many_ways(who: Any, expected: Speaker) -> None:
    assert read_speaker(who) == expected


@pytest.mark.parametrize(
    "who", ["", "bob", "640", "640,", "640,abc", "640,300@", "640,300@x", "-1,5", "nan,5", "inf,5", "1e400,5", "5,5@-1",
            "1,2,3", (1,), (1, 2, 3, 4), (-1, 2), ("a", 2), (True, 2), (float("nan"), 2)],
)  # fmt: skip
def test_what_names_no_face_is_refused(who: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_speaker(who)
    assert caught.value.field == "speaker"


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_a_file_of_boxes_and_points_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "who.json", [{"t": 1.2, "box": [10, 20, 30, 40]}, {"t": 4, "point": [5, 6]}, {"box": [0] * 4}]
    )
    expected = Speaker(places=(place(10, 20, 1.2, 30, 40), place(5, 6, 4), place(0, 0)))
    assert read_file(path) == read_speaker(path) == read_speaker(str(path)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("\x00\x00", "is not JSON"),
        ("{}", "not a list"),
        ("[]", "not a list"),
        ("7", "not a list"),
        ("[7]", "entry 0"),
        ("[[1, 2]]", "entry 0"),
        ('[{"t": 1}]', "entry 0"),
        ('[{"t": 1, "box": [1, 2, 3, 4], "point": [1, 2]}]', "entry 0"),
        ('[{"t": 1, "box": [1, 2, 3, 4], "name": "x"}]', "entry 0"),
        ('[{"t": 1, "point": [1, 2]}, {"t": 1, "box": [1, 2, 3]}]', "entry 1"),
        ('[{"t": 1, "box": "abcd"}]', "entry 0"),
        ('[{"t": "1", "point": [1, 2]}]', "entry 0"),
        ('[{"t": null, "point": [1, 2]}]', "entry 0"),
        ('[{"t": true, "point": [1, 2]}]', "entry 0"),
        ('[{"t": -1, "point": [1, 2]}]', "entry 0"),
        ('[{"t": NaN, "point": [1, 2]}]', "entry 0"),
        ('[{"t": 1, "point": [Infinity, 2]}]', "entry 0"),
        ('[{"t": 1, "point": [1, ' + "9" * 400 + "]}]", "entry 0"),
        ('[{"t": 1, "point": [1, ' + "9" * 5000 + "]}]", "."),
    ],
)
def test_a_file_that_is_no_list_of_boxes_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as caught:
        read_file(write(tmp_path / "who.json", text))
    assert caught.value.field == "speaker"


def test_a_file_that_is_too_large_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LimitExceededError, match="256 KiB") as large:
        read_file(write(tmp_path / "who.json", " " * (FILE_BYTES + 1)))
    assert (large.value.field, large.value.limit) == ("speaker", "speaker_file_bytes")
    with pytest.raises(LimitExceededError, match="1001 boxes; at most 1000") as many:
        read_file(write(tmp_path / "who.json", [{"t": at, "point": [1, 1]} for at in range(MOST_PLACES + 1)]))
    assert many.value.limit == "speaker_places"
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_file(tmp_path / "nobody.json")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_file(tmp_path)


@pytest.mark.parametrize(
    ("speech", "speaker", "field", "words"),
    [
        ("a.wav", {"left": "left"}, "speaker", "one speech has one"),
        ({"left": "a.wav"}, "right", "speaker", "need faces with their names"),
        ({"left": "a.wav"}, {"anna": (1, 2)}, "speaker", "'anna' has no speech"),
        ({"bob": "a.wav"}, None, "speech", "'bob' names no face"),
        ({}, None, "speech", "at least 1"),
        (dict.fromkeys("abcde", "a.wav"), dict.fromkeys("abcde", (1, 2)), "speech", "at most 4"),
    ],
)
def test_speeches_and_faces_that_do_not_go_together_are_refused(
    speech: Any, speaker: Any, field: str, words: str
) -> None:
    with pytest.raises((InvalidInputError, LimitExceededError), match=words) as caught:
        parts_of(speech, speaker)
    assert caught.value.field == field


@pytest.fixture
async def fake() -> AsyncIterator[FakeEdge]:
    async with FakeEdge() as made:
        yield made


def files(folder: Path, *names: str) -> list[Path]:
    made = [folder / name for name in names]
    for path in made:
        path.write_bytes(path.name.encode() * 100)
    return made


async def test_the_edge_is_told_which_face_speaks(fake: FakeEdge, tmp_path: Path) -> None:
    video, speech = files(tmp_path, "clip.mp4", "a.wav")
    async with viseme.connect(fake.address) as edge:
        job = await edge.dub(video, speech, speaker="640,300@1:07.5")
        await job.wait()
        (place,) = fake.jobs[job.id].options.speaker.places
        assert (place.x, place.y, place.time.ToMilliseconds()) == (640, 300, 67_500)
        plain = await edge.dub(video, speech)
        assert not fake.jobs[plain.id].options.HasField("speaker")


async def test_several_faces_bring_their_speeches(fake: FakeEdge, tmp_path: Path) -> None:
    video, one, other = files(tmp_path, "clip.mp4", "a.wav", "b.wav")
    third = tmp_path / "c.wav"
    third.write_bytes(one.read_bytes())
    speeches = {"left": one, "anna": other, "right": third}
    async with viseme.connect(fake.address) as edge:
        job = await edge.dub(video, speeches, speaker={"anna": (0.5, 0.5)})
        await job.wait()
        known = fake.jobs[job.id]
        told = known.options
        assert (told.speaker_name, told.speaker.position) == ("left", 1)
        assert [voice.name for voice in told.voices] == ["anna", "right"]
        assert [voice.speaker.position for voice in told.voices] == [0, 2]
        assert fake.stored[known.speech_asset_id].data == one.read_bytes()
        assert fake.stored[told.voices[0].speech_asset_id].data == other.read_bytes()
        assert told.voices[1].speech_asset_id == known.speech_asset_id
        again = await edge.dub(video, speeches, speaker={"anna": (0.5, 0.5)}, idempotency_key="another", take_up=True)
        assert again.id != job.id
