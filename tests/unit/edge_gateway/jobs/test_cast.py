from dataclasses import replace

import pytest

from edge_gateway.face.speaker import Place, Position, Speaker, Voice
from edge_gateway.jobs.cast import Cast, cast_of
from edge_gateway.jobs.faces import FaceAsk
from edge_gateway.jobs.job import JobOptions
from shared.errors import InvalidInputError
from shared.media.encode import Codec, Coding
from shared.media.probe import MediaInfo, MediaKind

VIDEO = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=4.0, width=1280, height=720, frame_rate=25.0)
LEFT, RIGHT = Speaker(position=Position.LEFT), Speaker(position=Position.RIGHT)


def at(x: float, y: float, time_us: int = 0) -> Speaker:
    return Speaker(places=(Place(time_us=time_us, x=x, y=y),))


def voice(name: str, speaker: Speaker) -> Voice:
    return Voice(name=name, speech="a" * 64, speaker=speaker)


def together(*speakers: Speaker) -> list[int]:
    first, *others = speakers
    options = JobOptions(speaker=first, voices=tuple(voice(str(n), one) for n, one in enumerate(others)))
    return [speaker.together for speaker in cast_of(options, VIDEO).speakers]


def test_nobody_is_cast_without_a_choice() -> None:
    assert cast_of(JobOptions(), VIDEO) == Cast()


def test_positions_wait_for_as_many_faces_as_they_name() -> None:
    center, largest = Speaker(position=Position.CENTER), Speaker(position=Position.LARGEST)
    assert together(LEFT) == [2]
    assert together(center) == [1]
    assert together(largest) == [1]
    assert together(LEFT, RIGHT) == [2, 2]
    assert together(LEFT, center, RIGHT) == [3, 3, 3]
    assert together(LEFT, at(5, 5)) == [2, 1]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (JobOptions(speaker=at(1281, 5)), "options.speaker"),
        (JobOptions(speaker=at(5, 5, 4_000_000)), "options.speaker"),
        (JobOptions(speaker=LEFT, voices=(voice("a", RIGHT), voice("b", at(5, 721)))), "options.voices[1]"),
    ],
)
def test_a_place_that_the_video_does_not_have_is_refused(options: JobOptions, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        cast_of(options, VIDEO)
    assert caught.value.field == field


def test_the_pixels_of_a_photo_that_was_reduced_are_those_of_the_photo() -> None:
    photo = MediaInfo(
        kind=MediaKind.PHOTO,
        container="jpeg",
        duration_seconds=0.0,
        width=3000,
        height=2000,
        original_width=6000,
        original_height=4000,
    )
    (speaker,) = cast_of(JobOptions(speaker=at(5000, 3000)), photo).speakers
    assert (speaker.places[0].x, speaker.places[0].y) == (2500, 1500)
    (speaker,) = cast_of(JobOptions(speaker=at(0.5, 0.5)), photo).speakers
    assert speaker.places[0].x == 0.5


def test_a_face_is_kept_for_the_same_choice_alone() -> None:
    ask = FaceAsk(
        video="a" * 64,
        crop_px=256,
        crop_scale=1.7,
        segment_s=2.0,
        crop=Coding(codec=Codec.H264, crf=20, preset="fast"),
        frame_pixels=1,
    )

    def cast(*speakers: Speaker) -> Cast:
        return Cast(speakers=speakers, fields=tuple("f" for _ in speakers))

    asks = [
        ask,
        replace(ask, cast=cast(LEFT)),
        replace(ask, cast=cast(RIGHT)),
        replace(ask, cast=cast(at(5, 5))),
        replace(ask, cast=cast(at(5, 6))),
        replace(ask, cast=cast(LEFT, RIGHT)),
        replace(ask, cast=cast(LEFT, RIGHT), voice=1),
    ]
    assert len({one.key for one in asks}) == len(asks)
    assert replace(ask, cast=cast(LEFT)).key == asks[1].key
