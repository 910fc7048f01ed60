import json
from collections.abc import Sequence

import numpy as np

from edge_gateway.jobs import notices
from edge_gateway.jobs.job import Severity, Stretch, Unscored, UntouchedReason
from edge_gateway.jobs.node import Fate, Lips
from edge_gateway.jobs.verdict import MOST_STRETCHES, Jury, Verdict
from shared.media.timeline import OutputFrame, OutputSegment

STEP_US = 40_000
PAINTED, NO_FACE, AWAY = Fate.PAINTED, Fate.NO_FACE, Fate.TURNED_AWAY


def verdict(
    fates: Sequence[Fate],
    *,
    seen: Sequence[float] | None = None,
    asked: Sequence[float] | None = None,
    by_node: Sequence[Fate] = (),
    cut: int = 1000,
) -> Verdict:
    """The verdict on frames that were cut into segments of ``cut``."""
    jury = Jury()
    for index, first in enumerate(range(0, len(fates), cut)):
        part = slice(first, min(first + cut, len(fates)))
        frames = tuple(
            OutputFrame(index=at, source=at, time_us=at * STEP_US, end_us=(at + 1) * STEP_US)
            for at in range(part.start, part.stop)
        )
        lips = Lips(seen=tuple(seen or ())[part], asked=tuple(asked or ())[part], fates=tuple(by_node)[part])
        jury.hear(OutputSegment(index=index, frames=frames), [(fates[part], lips)])
    return jury.judge()


def speaking(count: int) -> list[float]:
    return list(0.04 + 0.04 * np.sin(np.arange(count) * 0.9) * np.sin(np.arange(count) * 0.13))


def test_neighbouring_frames_are_one_stretch_whatever_segments_they_are_in() -> None:
    fates = [PAINTED] * 10 + [NO_FACE] * 15 + [PAINTED] * 5 + [NO_FACE] * 2
    by_node = [PAINTED] * 3 + [AWAY] * 4 + [PAINTED] * 25
    told = verdict(fates, by_node=by_node)
    assert told.untouched == (
        Stretch(start_us=120_000, end_us=280_000, reason=UntouchedReason.TURNED_AWAY),
        Stretch(start_us=400_000, end_us=1_000_000, reason=UntouchedReason.NO_FACE),
        Stretch(start_us=1_200_000, end_us=1_280_000, reason=UntouchedReason.NO_FACE),
    )
    assert told.untouched_frames == 21
    for cut in (1, 7, 16):
        assert verdict(fates, by_node=by_node, cut=cut) == told


def test_the_score_does_not_depend_on_how_a_result_was_cut() -> None:
    asked = speaking(250)
    seen = [value if at % 2 else -1.0 for at, value in enumerate(asked)]
    told = verdict([PAINTED] * 250, seen=seen, asked=asked)
    assert told.sync is not None
    assert told.sync.score == 100
    assert verdict([PAINTED] * 250, seen=seen, asked=asked, cut=31) == told


def test_stretches_without_number_are_bounded_and_the_longest_are_told() -> None:
    fates = [NO_FACE, PAINTED] * 400 + [NO_FACE] * 9
    told = verdict(fates)
    assert len(told.untouched) == MOST_STRETCHES
    assert told.left_out == 401 - MOST_STRETCHES
    assert told.untouched[-1].end_us - told.untouched[-1].start_us == 9 * STEP_US
    assert list(told.untouched) == sorted(told.untouched, key=lambda one: one.start_us)
    (notice,) = notices.told_of(told)
    assert "409 of 809 frames" in notice.message
    assert "396 more stretches" in notice.message


def test_a_node_that_does_not_measure_leaves_no_score() -> None:
    told = verdict([PAINTED] * 100)
    assert (told.sync, told.unscored, told.untouched) == (None, Unscored.NOT_MEASURED, ())
    assert notices.told_of(told) == []


def test_a_low_score_and_a_recording_without_speech_are_warned_of() -> None:
    asked = speaking(250)
    (bad,) = notices.told_of(verdict([PAINTED] * 250, seen=[0.02] * 250, asked=asked))
    assert (bad.severity, bad.reason) == (Severity.WARNING, "low_sync_score")
    assert "0 of 100" in bad.message
    (good,) = notices.told_of(verdict([PAINTED] * 250, seen=asked, asked=asked))
    assert (good.severity, good.reason) == (Severity.INFO, "sync_score")
    (none,) = notices.told_of(verdict([PAINTED] * 250, seen=[0.0] * 250, asked=[0.0] * 250))
    assert (none.severity, none.reason) == (Severity.WARNING, "no_speech")


def test_the_tag_is_json_that_says_the_same() -> None:
    asked = speaking(250)
    told = json.loads(verdict([PAINTED] * 248 + [NO_FACE] * 2, seen=asked, asked=asked).tag("warp", "1.0"))
    assert told["generator"] == "viseme 1.0"
    assert (told["engine"], told["sync"]["score"], told["unscored"]) == ("warp", 100, None)
    assert told["untouched"] == [[9.92, 10.0, "no_face"]]


def test_a_result_is_as_good_as_the_worst_of_those_who_speak_and_untouched_where_nobody_is_painted() -> None:
    asked = speaking(250)
    frames = tuple(
        OutputFrame(index=at, source=at, time_us=at * STEP_US, end_us=(at + 1) * STEP_US) for at in range(250)
    )
    good = Lips(seen=tuple(asked), asked=tuple(asked), fates=())
    frozen = Lips(seen=(0.02,) * 250, asked=tuple(asked), fates=())
    gone = (NO_FACE,) * 20 + (PAINTED,) * 230
    partly = (NO_FACE,) * 10 + (PAINTED,) * 240
    jury = Jury(voices=2)
    jury.hear(OutputSegment(index=0, frames=frames), [(gone, good), (partly, frozen)])
    told = jury.judge()
    assert told.sync is not None
    assert told.sync.is_low
    assert told.untouched == (Stretch(start_us=0, end_us=400_000, reason=UntouchedReason.NO_FACE),)
