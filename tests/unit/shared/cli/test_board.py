"""Rates, time left and the waterfall."""

import dataclasses
from datetime import UTC, datetime

import pytest

from shared.cli.board import Board, duration
from shared.cli.display import BarsDisplay
from shared.cli.report import report_json, waterfall
from shared.sdk.model import (
    JobReport,
    JobState,
    Progress,
    Stage,
    StateChanged,
    SyncScore,
    Transfer,
    Unscored,
    UntouchedReason,
    UntouchedStretch,
)


def event(stage: Stage, done: int, total: int) -> Progress:
    return Progress(
        job_id="j", sequence=1, time=datetime.now(UTC), stage=stage, done_frames=done, total_frames=total, done_bytes=0
    )


def test_the_rate_is_that_of_late() -> None:
    now = [0.0]
    board = Board(clock=lambda: now[0])
    track = board.progressed(event(Stage.INFER, 0, 100))
    assert track.line() == "infer 0/100 frames"
    now[0] = 2.0
    board.progressed(event(Stage.INFER, 20, 100))
    assert track.line() == "infer 20/100 frames, 10/s, 8 s left"
    for second in range(3, 30):
        now[0] = float(second)
        board.progressed(event(Stage.INFER, 20 + second, 100))
    assert track.rate == pytest.approx(1.0, rel=0.3)
    board.progressed(event(Stage.INFER, 100, 100))
    assert track.complete
    assert board.line() == "waiting"


def test_files_are_one_stage() -> None:
    board = Board(clock=lambda: 0.0)
    board.moved(Stage.UPLOAD, Transfer(name="a", done_bytes=1 << 20, size_bytes=2 << 20, skipped_bytes=5))
    track = board.moved(Stage.UPLOAD, Transfer(name="b", done_bytes=1 << 20, size_bytes=2 << 20))
    assert track.line() == "upload 2.0/4.0 MiB"
    assert track.skipped == 5


def test_what_was_there_is_told_and_counts_for_no_rate() -> None:
    now = [0.0]
    board = Board(clock=lambda: now[0])
    board.moved(Stage.UPLOAD, Transfer(name="a", done_bytes=0, size_bytes=8 << 20))
    now[0] = 2.0
    track = board.moved(Stage.UPLOAD, Transfer(name="a", done_bytes=6 << 20, size_bytes=8 << 20, skipped_bytes=4 << 20))
    assert track.line() == "upload 6.0/8.0 MiB, 1.0 MiB/s, 2 s left, 4.0 MiB were there"


def test_an_unknown_total_is_left_out() -> None:
    board = Board(clock=lambda: 0.0)
    assert board.progressed(event(Stage.PREPARE, 7, 0)).line() == "prepare 7 frames"


def test_stages_that_move_bytes_are_told_in_bytes() -> None:
    sent = dataclasses.replace(event(Stage.SEND, 0, 0), done_bytes=3 << 19)
    assert Board(clock=lambda: 0.0).progressed(sent).line() == "send 1.5 MiB"


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (65, "1:05"), (3605, "1:00:05")])
def test_times_are_short(seconds: float, words: str) -> None:
    assert duration(seconds) == words


REPORT = JobReport(
    job_id="j",
    frames=750,
    frame_rate=25,
    segments=15,
    stages={Stage.PREPARE: 4.0, Stage.INFER: 8.0, Stage.UPLOAD: 0.01},
    total_seconds=9,
    wan_up_bytes=500_000,
    wan_down_bytes=700_000,
    engine="warp",
    untouched_frames=2,
)


def test_the_waterfall_shows_every_stage_in_order() -> None:
    told = report_json(REPORT, total_seconds=10.0)
    lines = waterfall(told, plain=True)
    names = [line.split()[0] for line in lines[1:11]]
    assert names == [
        "upload", "wait", "prepare", "send", "queue", "infer", "return", "composite", "download", "total",
    ]  # fmt: skip
    assert lines[10].count("#") == 32
    assert lines[6].count("#") == 26
    assert "  80 %" in lines[6]
    text = "\n".join(lines)
    assert "750 frames at 25 a second in 15 segments by warp, 75.0 frames/s" in text
    assert "500.0 kB up, 700.0 kB down (1.00 and 1.40 MB a minute)" in text
    assert "2 frames passed through untouched" in text
    assert "█" in "".join(waterfall(told))


def lines_of(**more: object) -> str:
    return "\n".join(waterfall(report_json(dataclasses.replace(REPORT, **more), total_seconds=10.0)))


def test_the_end_says_how_good_the_result_is_and_warns_where_it_is_not() -> None:
    good = SyncScore(score=88, lag_ms=12, correlation=0.6, amplitude=1.0)
    assert "sync score: 88 of 100, lips 12 ms late\n" in lines_of(sync=good)
    low = lines_of(sync=dataclasses.replace(good, score=12, lag_ms=None))
    assert "sync score: 12 of 100; WARNING" in low
    assert "WARNING: no speech was heard" in lines_of(unscored=Unscored.NO_SPEECH)
    for why in Unscored:
        assert "sync score: none" in lines_of(unscored=why)
    stretches = tuple(
        UntouchedStretch(start_seconds=at, end_seconds=at + 0.5, reason=why)
        for at, why in enumerate(list(UntouchedReason) * 3)
    )
    text = lines_of(untouched=stretches, untouched_left_out=7)
    assert "  3.00 to 3.50 s: turned away too far" in text
    assert "and 12 more stretches" in text
    assert "sync" not in lines_of()


def test_an_empty_report_is_shown_too() -> None:
    empty = JobReport(
        job_id="j", frames=0, frame_rate=0, segments=0, stages={}, total_seconds=0, wan_up_bytes=0, wan_down_bytes=0,
        engine="", untouched_frames=0,
    )  # fmt: skip
    assert waterfall(report_json(empty, total_seconds=0))


def test_bars_take_every_kind_of_news(capsys: pytest.CaptureFixture[str]) -> None:
    display = BarsDisplay()
    with display.running():
        display.transfer(Stage.UPLOAD, Transfer(name="[a]", done_bytes=1, size_bytes=2))
        display.event(event(Stage.INFER, 1, 0))
        display.event(event(Stage.INFER, 2, 4))
        display.event(StateChanged(job_id="j", sequence=2, time=datetime.now(UTC), state=JobState.FINISHING))
        display.note("a [note]")
    shown = capsys.readouterr().err
    assert "infer" in shown
    assert "a [note]" in shown
