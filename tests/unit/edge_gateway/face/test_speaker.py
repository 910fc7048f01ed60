from dataclasses import replace
from typing import Any

import pytest

from edge_gateway.face.speaker import (
    MOST_PLACES,
    Hint,
    Place,
    Position,
    Speaker,
    Voice,
    check_frame,
    check_speaker,
    check_voices,
)
from shared.errors import InvalidInputError, LimitExceededError

LEFT, RIGHT = Speaker(position=Position.LEFT), Speaker(position=Position.RIGHT)


def at(*places: tuple[float, ...]) -> Speaker:
    return Speaker(places=tuple(Place(time_us=int(time), x=x, y=y) for time, x, y in places))


def box(*values: float) -> Speaker:
    x, y, width, height = values
    return Speaker(places=(Place(time_us=0, x=x, y=y, width=width, height=height),))


def test_pixels_and_shares_name_the_same_place() -> None:
    pixels = Place(time_us=5, x=600, y=200, width=80, height=100).in_pixels(800, 400)
    shares = Place(time_us=5, x=0.75, y=0.5, width=0.1, height=0.25).in_pixels(800, 400)
    assert pixels == shares == Hint(time_us=5, x=640, y=250, size=100)


@pytest.mark.parametrize("speaker", [Speaker(), LEFT, at((0, 1, 2), (9, 3, 4)), box(1, 2, 3, 4)])
def test_json_gives_it_back(speaker: Speaker) -> None:
    assert Speaker.of(speaker.to_json()) == speaker
    voice = Voice(name="anna", speech="a" * 64, speaker=speaker)
    assert Voice.of(voice.to_json()) == voice


@pytest.mark.parametrize(
    ("speaker", "field", "words"),
    [
        (at((0, -1, 2)), "f", "0 and more"),
        (at((0, float("nan"), 2)), "f", "0 and more"),
        (at((0, 1, float("inf"))), "f", "0 and more"),
        (at((-5, 1, 2)), "f", "0 and more"),
        (box(1, 2, 3, 0), "f", "width and a height"),
        (at((0, 1, 2), (0, 1, 2)), "f.places[1]", "rise"),
        (at((9, 1, 2), (3, 1, 2)), "f.places[1]", "rise"),
        (replace(at((0, 1, 2)), position=Position.LEFT), "f", "not by both"),
    ],
)
def test_places_that_are_none_are_refused(speaker: Speaker, field: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as caught:
        check_speaker(speaker, "f")
    assert caught.value.field == field


def test_more_places_than_allowed_are_refused() -> None:
    with pytest.raises(LimitExceededError, match="1000") as caught:
        check_speaker(at(*[(index, 1, 1) for index in range(MOST_PLACES + 1)]), "f")
    assert (caught.value.field, caught.value.limit) == ("f", "speaker_places")


@pytest.mark.parametrize(
    ("speaker", "words"),
    [
        (at((0, 641, 5)), "outside the frame of 640x480"),
        (at((0, 5, 481)), "outside the frame of 640x480"),
        (box(600, 5, 50, 50), "outside the frame of 640x480"),
        (box(0.9, 0.5, 0.2, 0.2), "outside the frame of 640x480"),
        (at((2_000_000, 5, 5)), "after the end of the video, which is 2.00 s long"),
    ],
)
def test_places_that_the_video_does_not_have_are_refused(speaker: Speaker, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as caught:
        check_frame(speaker, 640, 480, 2_000_000, "options.speaker")
    assert caught.value.field == "options.speaker"
    assert caught.value.limit in {"frame", "duration"}


def test_places_at_the_edges_are_taken() -> None:
    for speaker in (at((0, 640, 480)), box(600, 440, 40, 40), box(0.9, 0.9, 0.1, 0.1), at((1_999_999, 0, 0)), LEFT):
        check_frame(speaker, 640, 480, 2_000_000, "f")


def voice(name: str, speaker: Speaker = RIGHT) -> Voice:
    return Voice(name=name, speech="b" * 64, speaker=speaker)


@pytest.mark.parametrize(
    ("first", "name", "voices", "field", "words"),
    [
        (LEFT, "left", [voice("left")], "options.voices[0]", "two speeches are given for the face 'left'"),
        (LEFT, "left", [voice("l", LEFT)], "options.voices[0]", "'left' and 'l' are the same face"),
        (Speaker(), "a", [voice("b")], "options.speaker", "nothing says which face 'a' is"),
        (LEFT, "a", [voice("b", Speaker())], "options.voices[0]", "nothing says which face 'b' is"),
        (LEFT, "a", [voice("b", at((0, -1, 0)))], "options.voices[0]", "0 and more"),
        (LEFT, "", [voice("b")], "options.speaker.name", "at most 40"),
        (LEFT, "a", [voice("b" * 41)], "options.voices[0].name", "at most 40"),
        (LEFT, "a", [voice(name, at((index, 1, 1))) for index, name in enumerate("bcde")], "options.voices", "most 4"),
    ],
)
def test_faces_that_cannot_all_be_there_are_refused(
    first: Speaker, name: str, voices: list[Voice], field: str, words: str
) -> None:
    with pytest.raises((InvalidInputError, LimitExceededError), match=words) as caught:
        check_voices(first, name, voices)
    assert caught.value.field == field


def test_several_faces_that_go_together_are_taken() -> None:
    more: list[Any] = [voice("right"), voice("anna", at((5, 1, 1))), voice("bea", at((5, 300, 1)))]
    check_voices(LEFT, "left", more)
