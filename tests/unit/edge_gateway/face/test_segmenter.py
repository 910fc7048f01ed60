import numpy as np
import pytest

from edge_gateway.face.crop import CropBox
from edge_gateway.face.segment import SEGMENT_FRAMES, Crop, Segment, Segmenter
from shared.media.planes import Planes

PLANES = Planes(y=np.zeros((2, 2), np.uint8), u=np.zeros((1, 1), np.uint8), v=np.zeros((1, 1), np.uint8))


def segments(times_us: list[int], length_us: int = 2_000_000) -> list[Segment]:
    segmenter = Segmenter(length_us=length_us)
    done = []
    for time_us in times_us:
        box = CropBox(cx=0.0, cy=0.0, side=1.0, has_face=True)
        done += segmenter.push(Crop(time_us=time_us, box=box, planes=PLANES))
    return done + segmenter.finish()


def cut_segments(scenes: list[int]) -> list[Segment]:
    segmenter = Segmenter(length_us=2_000_000)
    done = []
    for frame, scene in enumerate(scenes):
        box = CropBox(cx=0.0, cy=0.0, side=1.0, has_face=True, scene=scene)
        done += segmenter.push(Crop(time_us=frame * 40_000, box=box, planes=PLANES))
    return done + segmenter.finish()


def shape(segment: Segment) -> tuple[int, int, int, int]:
    return segment.first_frame, len(segment.own), segment.lead, segment.trail


def test_segments_take_about_their_time_and_carry_their_context() -> None:
    times = [frame * 40_000 for frame in range(120)]
    done = segments(times)

    assert [shape(segment) for segment in done] == [(0, 50, 0, 2), (50, 50, 2, 2), (100, 20, 2, 0)]
    assert [crop.time_us for crop in done[1].crops] == times[48:102]
    assert [segment.index for segment in done] == [0, 1, 2]


@pytest.mark.parametrize("frames", [1, 2, 49, 50, 51, 52, 101])
def test_every_frame_stands_in_one_segment(frames: int) -> None:
    times = [frame * 40_000 for frame in range(frames)]

    assert [crop.time_us for segment in segments(times) for crop in segment.own] == times


@pytest.mark.parametrize("step_us", [1_500_000, 2_500_000])
def test_few_frames_a_second_make_short_segments(step_us: int) -> None:
    times = [frame * step_us for frame in range(7)]
    done = segments(times)

    assert [crop.time_us for segment in done for crop in segment.own] == times
    assert {len(segment.own) for segment in done} <= {1, 2}
    assert all(len(segment.crops) == len(segment.own) + segment.lead + segment.trail for segment in done)


def test_a_segment_has_a_largest_number_of_frames() -> None:
    done = segments([frame * 1_000 for frame in range(600)])

    assert [len(segment.own) for segment in done] == [SEGMENT_FRAMES, SEGMENT_FRAMES, 120]


def test_a_segment_is_given_as_soon_as_its_context_is_there() -> None:
    segmenter = Segmenter(length_us=400_000)
    box = CropBox(cx=0.0, cy=0.0, side=1.0, has_face=True)

    given = [len(segmenter.push(Crop(time_us=frame * 40_000, box=box, planes=PLANES))) for frame in range(22)]

    assert [frame for frame, count in enumerate(given) if count] == [11, 21]


def test_a_segment_ends_at_a_cut_and_has_no_context_from_behind_it() -> None:
    done = cut_segments([0] * 60 + [1] * 30)

    assert [shape(segment) for segment in done] == [(0, 50, 0, 2), (50, 10, 2, 0), (60, 30, 0, 0)]


def test_what_is_between_two_cuts_in_a_row_goes_with_what_follows() -> None:
    done = cut_segments([0] * 10 + [1] * 3 + [2] * 10)

    assert [shape(segment) for segment in done] == [(0, 10, 0, 0), (10, 13, 0, 0)]
    assert len(cut_segments(list(range(50)))) <= 8


def test_context_reaches_no_further_than_the_scene() -> None:
    done = cut_segments([0] * 49 + [1] * 30)

    assert [shape(segment) for segment in done] == [(0, 49, 0, 0), (49, 30, 0, 0)]


def test_nothing_gives_nothing() -> None:
    assert segments([]) == []
