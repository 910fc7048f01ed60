from pathlib import Path

import pytest

from shared.cli.dub import read_voices
from shared.errors import InvalidInputError


def test_one_speech_and_one_face() -> None:
    assert read_voices("a.wav", [], []) == (Path("a.wav"), None)
    assert read_voices("lib:x/a.wav", [], ["5,6@7"]) == ("lib:x/a.wav", "5,6@7")


def test_several_speeches_by_the_names_of_their_faces() -> None:
    speeches, speakers = read_voices(None, ["left=a.wav", "anna=lib:x/b=c.wav"], ["anna=5,6@7"])
    assert speeches == {"left": Path("a.wav"), "anna": "lib:x/b=c.wav"}
    assert speakers == {"anna": "5,6@7"}
    assert read_voices(None, ["left=a.wav"], []) == ({"left": Path("a.wav")}, None)


@pytest.mark.parametrize(
    ("audio", "speeches", "speakers", "field", "words"),
    [
        (None, [], [], "speech", "give AUDIO, or --speech"),
        (None, [], ["left"], "speech", "give AUDIO, or --speech"),
        ("a.wav", ["left=b.wav"], [], "speech", "not both"),
        ("a.wav", [], ["left", "right"], "speaker", "one --speaker"),
        (None, ["a.wav"], [], "speech", "is not NAME=FILE"),
        (None, ["=a.wav"], [], "speech", "is not NAME=FILE"),
        (None, ["left="], [], "speech", "is not NAME=FILE"),
        (None, ["left=a.wav", "left=b.wav"], [], "speech", "'left' is given twice; one face has one speech"),
        (None, ["a=a.wav"], ["5,6@7"], "speaker", "is not NAME="),
        (None, ["a=a.wav"], ["a=1,2", "a=3,4"], "speaker", "given twice"),
    ],
)
def test_what_does_not_go_together_is_refused(
    audio: str | None, speeches: list[str], speakers: list[str], field: str, words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words) as caught:
        read_voices(audio, speeches, speakers)
    assert caught.value.field == field
