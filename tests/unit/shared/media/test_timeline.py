from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.media.timeline import SEGMENT_FRAMES, FitMode, OutputFrame, SourceTimes, Timeline, plan

DURATIONS = st.lists(st.integers(8_000, 120_000), min_size=1, max_size=40)
SPEECHES = st.integers(1_000, 9_000_000)
FITS = st.sampled_from(FitMode)


def times_of(durations: list[int]) -> tuple[list[int], int]:
    times = [sum(durations[:place]) for place in range(len(durations))]
    return times, sum(durations)


def frames_of(timeline: Timeline) -> list[OutputFrame]:
    return [frame for segment in timeline.segments for frame in segment.frames]


def sources(durations: list[int], speech_us: int, fit: FitMode, *, keep_length: bool = False) -> list[int]:
    times, end = times_of(durations)
    return [frame.source for frame in frames_of(plan(times, end, speech_us, fit, keep_length=keep_length))]


def test_each_mode_goes_on_in_its_own_way() -> None:
    three = [40_000] * 3
    assert sources(three, 400_000, FitMode.TRIM) == [0, 1, 2]
    assert sources(three, 400_000, FitMode.LOOP) == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert sources(three, 400_000, FitMode.BOUNCE) == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1]
    assert sources(three, 400_000, FitMode.HOLD) == [0, 1, 2, 2, 2, 2, 2, 2, 2, 2]


def test_shorter_speech_cuts_the_video_unless_its_length_is_kept() -> None:
    assert sources([40_000] * 10, 90_000, FitMode.BOUNCE) == [0, 1, 2]
    assert sources([40_000] * 10, 90_000, FitMode.BOUNCE, keep_length=True) == list(range(10))


@pytest.mark.parametrize("fit", FitMode)
def test_a_photo_is_held_at_25_frames_a_second_whatever_the_mode(fit: FitMode) -> None:
    timeline = plan([0], 40_000, 1_000_000, fit)
    assert [frame.time_us for frame in frames_of(timeline)] == [place * 40_000 for place in range(25)]
    assert {frame.source for frame in frames_of(timeline)} == {0}


@given(DURATIONS, SPEECHES, FITS, st.booleans())
def test_the_result_is_whole_frames_that_cover_the_speech(
    durations: list[int], speech_us: int, fit: FitMode, keep_length: bool
) -> None:
    times, end = times_of(durations)
    timeline = plan(times, end, speech_us, fit, keep_length=keep_length)
    frames = frames_of(timeline)
    assert timeline.complete
    assert [frame.index for frame in frames] == list(range(len(frames))) == list(range(timeline.frame_count))
    assert frames[0].time_us == 0
    assert all(one.end_us == other.time_us for one, other in pairwise(frames))
    length = timeline.length_us
    assert length == frames[-1].end_us
    whole = len(durations) == 1 or fit is not FitMode.TRIM
    if whole or speech_us <= end:
        assert length >= speech_us
        if not (keep_length and speech_us <= end):
            assert frames[-1].time_us < speech_us
    else:
        assert length == end
    if keep_length and len(durations) > 1 and speech_us <= end:
        assert length == end


@given(DURATIONS, SPEECHES, st.sampled_from([FitMode.LOOP, FitMode.BOUNCE]))
def test_every_frame_keeps_its_own_duration_forwards_and_backwards(
    durations: list[int], speech_us: int, fit: FitMode
) -> None:
    times, end = times_of(durations)
    for frame in frames_of(plan(times, end, speech_us, fit)):
        assert frame.end_us - frame.time_us == (durations[frame.source] if len(durations) > 1 else 40_000)


@given(DURATIONS, SPEECHES)
def test_bouncing_never_jumps(durations: list[int], speech_us: int) -> None:
    shown = sources(durations, speech_us, FitMode.BOUNCE)
    assert all(abs(one - other) == (len(durations) > 1) for one, other in pairwise(shown))


@given(DURATIONS, SPEECHES, FITS, st.booleans())
def test_the_plan_is_the_same_however_far_decoding_had_come_when_it_was_asked(
    durations: list[int], speech_us: int, fit: FitMode, keep_length: bool
) -> None:
    times, end = times_of(durations)
    growing = SourceTimes()
    timeline = Timeline(growing, speech_us=speech_us, fit=fit, keep_length=keep_length)
    seen = 0
    for time_us in times:
        growing.add(time_us)
        assert len(timeline.segments) >= seen
        seen = len(timeline.segments)
    growing.finish(end)
    whole = plan(times, end, speech_us, fit, keep_length=keep_length)
    assert timeline.segments == whole.segments
    assert timeline.complete


@given(DURATIONS, SPEECHES, FITS)
def test_segments_are_about_two_seconds(durations: list[int], speech_us: int, fit: FitMode) -> None:
    times, end = times_of(durations)
    segments = plan(times, end, speech_us, fit).segments
    assert [segment.index for segment in segments] == list(range(len(segments)))
    for segment in segments[:-1]:
        assert 2_000_000 <= segment.end_us - segment.start_us < 2_000_000 + max(durations)
    assert all(one.end_us == other.start_us for one, other in pairwise(segments))


def test_segments_of_slow_motion_have_a_bounded_number_of_frames() -> None:
    times, end = times_of([1_000] * 3_000)
    timeline = plan(times, end, end, FitMode.BOUNCE)
    assert [len(segment.frames) for segment in timeline.segments] == [SEGMENT_FRAMES] * 12 + [120]
    assert [frame.source for frame in frames_of(timeline)] == list(range(3_000))


def test_segments_are_planned_while_the_source_is_still_decoded() -> None:
    growing = SourceTimes()
    timeline = Timeline(growing, speech_us=60_000_000)
    for place in range(102):
        growing.add(place * 40_000)
    assert [len(segment.frames) for segment in timeline.segments] == [50, 50]
    assert not timeline.complete


def test_a_source_that_makes_no_sense_is_refused() -> None:
    for times, end in (([0, 0], 10), ([0, 5], 5), ([], 10)):
        with pytest.raises(ValueError, match="source"):
            SourceTimes(times, end)
    with pytest.raises(ValueError, match="speech"):
        plan([0], 40_000, 0)
