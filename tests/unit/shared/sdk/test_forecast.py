"""What a job would take, what is blamed, and what is told of a way."""

import struct
import wave
from dataclasses import replace
from pathlib import Path

import pytest

from shared.cli.doctor import comparison, lines
from shared.errors import EdgeUnavailableError
from shared.sdk.checkup import Checkup
from shared.sdk.findings import findings
from shared.sdk.forecast import ASSUMED, Culprit, NodeWay, Pace, forecast, pace_of, wanted
from shared.sdk.length import seconds_of
from shared.sdk.model import JobReport, Stage
from shared.sdk.probe import EdgeWay

GOOD = EdgeWay(
    round_trip_s=0.01,
    shortest_s=0.009,
    jitter_s=0.001,
    up_bits_s=100e6,
    down_bits_s=100e6,
    skew_s=0.0,
    skew_error_s=0.005,
    is_encrypted=True,
)
NEAR = NodeWay(
    name="n",
    address="node:50061",
    is_up=True,
    engine_ready=True,
    round_trip_s=0.02,
    bits_s=100e6,
    queued_segments=0,
    queue_limit=64,
)
FAST = Pace(jobs=5, prepare_s=0.1, infer_s=0.1, composite_s=0.1, up_bytes=20e3, down_bytes=16e3)
CLIP = Path(__file__).resolve().parents[3] / "media" / "clip.mp4"
FILM = wanted([500_000_000, 2_000_000], [300.0, 300.0])


def test_five_minutes_over_a_thin_uplink_take_as_long_as_their_upload() -> None:
    seen = forecast(FILM, replace(GOOD, up_bits_s=10e6), NEAR, FAST)
    assert seen is not None
    assert seen.stages[Stage.UPLOAD] == pytest.approx(401.6)
    assert (seen.slowest, seen.slowest_s) == (Culprit.UPLINK, pytest.approx(401.6))
    assert 401.6 < seen.total_s < 450


def test_an_edge_in_the_room_and_a_far_gpu_are_many_times_faster_than_sending_it_all() -> None:
    seen = forecast(FILM, replace(GOOD, up_bits_s=1e9, down_bits_s=1e9), replace(NEAR, bits_s=10e6), FAST)
    assert seen is not None
    assert seen.total_s < 45
    assert seen.whole_s > 800


def test_what_was_seen_of_a_minute_over_10_mbit_is_foretold_within_a_fifth() -> None:
    # BENCHMARKS.md, "A minute of camera video": 90.0 s, and 199.3 s by sending it all.
    job = wanted([60_000_000, 1_000_000], [60.0, 60.0])
    way = replace(GOOD, round_trip_s=0.001, up_bits_s=1.2e9, down_bits_s=1.2e9)
    node = replace(NEAR, round_trip_s=0.05, bits_s=9.4e6)
    pace = Pace(
        jobs=1,
        prepare_s=59.3 / 60,
        infer_s=58.7 / 60,
        composite_s=81.5 / 60,
        up_bytes=1.14e6 / 60,
        down_bytes=1.02e6 / 60,
    )
    seen = forecast(job, way, node, pace)
    assert seen is not None
    assert seen.slowest is Culprit.EDGE
    assert seen.total_s == pytest.approx(90.0, rel=0.2)
    assert seen.whole_s == pytest.approx(199.3, rel=0.2)


@pytest.mark.parametrize(
    ("way", "node", "pace", "culprit"),
    [
        ({"down_bits_s": 1e6}, {}, {}, Culprit.DOWNLINK),
        ({}, {}, {"composite_s": 2.0}, Culprit.EDGE),
        ({}, {}, {"prepare_s": 2.0}, Culprit.EDGE),
        ({}, {"bits_s": 0.1e6}, {}, Culprit.LINK),
        ({}, {}, {"infer_s": 2.0}, Culprit.GPU),
        ({}, {"queued_segments": 5000}, {}, Culprit.GPU),
        ({"round_trip_s": 60.0}, {}, {}, Culprit.DISTANCE),
    ],
)
def test_whoever_takes_longest_is_blamed(
    way: dict[str, float], node: dict[str, float], pace: dict[str, float], culprit: Culprit
) -> None:
    # replace() takes what the fields take; the table is one of floats and whole numbers.
    job = replace(FILM, upload_bytes=1000)
    seen = forecast(job, replace(GOOD, **way), replace(NEAR, **node), replace(FAST, **pace))  # type: ignore[arg-type]
    assert seen is not None
    assert seen.slowest is culprit


@pytest.mark.parametrize("gap", [{"round_trip_s": None}, {"bits_s": None}])
def test_nothing_is_foretold_over_a_link_that_nobody_knows(gap: dict[str, None]) -> None:
    assert forecast(FILM, GOOD, replace(NEAR, **gap), FAST) is None


def test_the_pace_is_the_middle_of_what_jobs_took() -> None:
    def report(infer_s: float) -> JobReport:
        return JobReport(
            job_id="j",
            frames=250,
            frame_rate=25.0,
            segments=5,
            stages={Stage.PREPARE: 1.0, Stage.INFER: infer_s, Stage.COMPOSITE: 3.0},
            total_seconds=9.0,
            wan_up_bytes=200_000,
            wan_down_bytes=100_000,
            engine="viseme",
            untouched_frames=0,
        )

    pace = pace_of([report(2.0), report(900.0), report(4.0)])
    assert pace == Pace(jobs=3, prepare_s=0.1, infer_s=0.4, composite_s=0.3, up_bytes=20_000, down_bytes=10_000)
    assert pace_of([]) is ASSUMED


def test_where_all_is_well_nothing_is_told() -> None:
    assert not findings(GOOD, [NEAR], FAST, is_here=False)


@pytest.mark.parametrize(
    ("way", "node", "pace", "culprit", "words"),
    [
        ({"up_bits_s": 2e6}, {}, {}, Culprit.UPLINK, "2.0 Mbit/s: a minute of 1080p (30 MB) takes 120 s"),
        ({"down_bits_s": 2e6}, {}, {}, Culprit.DOWNLINK, "--preview"),
        ({"round_trip_s": 0.2}, {}, {}, Culprit.DISTANCE, "200 ms to the edge"),
        ({"jitter_s": 0.05}, {}, {}, Culprit.DISTANCE, "vary by 50 ms"),
        ({"skew_s": -90.0}, {}, {}, None, "90.0 s behind"),
        ({"is_encrypted": False}, {}, {}, None, "not encrypted"),
        ({}, {}, {"composite_s": 1.5}, Culprit.EDGE, "1.5 s"),
        ({}, {}, {"infer_s": 1.5}, Culprit.GPU, "1.5 s"),
        ({}, {"is_up": False}, {}, Culprit.LINK, "does not reach"),
        ({}, {"engine_ready": False}, {}, Culprit.GPU, "Triton"),
        ({}, {"queued_segments": 40}, {}, Culprit.GPU, "40 of 64"),
        ({}, {"round_trip_s": 0.3}, {}, Culprit.LINK, "300 ms"),
        ({}, {"bits_s": 1e6}, {}, Culprit.LINK, "1.0 Mbit/s"),
    ],
)
def test_what_is_slow_or_wrong_is_said_plainly(
    way: dict[str, float], node: dict[str, float], pace: dict[str, float], culprit: Culprit | None, words: str
) -> None:
    told = findings(replace(GOOD, **way), [replace(NEAR, **node)], replace(FAST, **pace), is_here=False)  # type: ignore[arg-type]
    (one,) = told
    assert one.culprit is culprit
    assert words in one.words


def test_an_edge_that_cannot_tell_of_its_node_is_said_to_be_too_old() -> None:
    (one,) = findings(GOOD, None, FAST, is_here=True)
    assert "too old" in one.words


def test_lengths_are_read_from_heads(tmp_path: Path) -> None:
    assert seconds_of(CLIP) == pytest.approx(4.087)
    sound = tmp_path / "s.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 12_000))
    assert seconds_of(sound) == pytest.approx(1.5)
    long = struct.pack(">I4sI4sB3xQQIQ", 44 + 8 + 8, b"moov", 44 + 8, b"mvhd", 1, 0, 0, 600, 600 * 7200)
    (tmp_path / "l.mp4").write_bytes(struct.pack(">I4s4s", 12, b"ftyp", b"isom") + long)
    assert seconds_of(tmp_path / "l.mp4") == pytest.approx(7200.0)
    (tmp_path / "p.JPG").write_bytes(b"")
    assert seconds_of(tmp_path / "p.JPG") == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"OggS" + bytes(40),
        b"RIFF\0\0\0\0WAVE",
        struct.pack(">I4s", 8, b"ftyp"),
        struct.pack(">I4s4sI4s", 12, b"ftyp", b"isom", 4, b"free"),
        struct.pack(">I4s4sI4sI4s", 12, b"ftyp", b"isom", 16, b"moov", 0, b"mvhd"),
    ],
)
def test_a_head_that_tells_nothing_or_is_broken_gives_no_length(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    assert seconds_of(path) is None


def test_a_length_that_is_guessed_is_said_to_be() -> None:
    job = wanted([3_000_000], [None])
    assert job.is_guessed
    checkup = Checkup(
        address="e:1", name="e", way=GOOD, nodes=(NEAR,), pace=FAST, forecast=forecast(job, GOOD, NEAR, FAST)
    )
    assert any("a guess" in line for line in lines(checkup, job))


def test_an_edge_whose_node_is_down_comes_behind_one_that_is_far() -> None:
    far = Checkup(address="far:1", way=replace(GOOD, round_trip_s=0.3), nodes=(NEAR,), pace=FAST)
    useless = Checkup(address="useless:1", way=GOOD, nodes=(replace(NEAR, is_up=False),), pace=FAST)
    dead = Checkup(address="dead:1", error=EdgeUnavailableError("no"))
    told = comparison([dead, useless, far])
    assert [line.split()[0] for line in told[2:5]] == ["far:1", "useless:1", "dead:1"]
    assert told[-1] == "best: --edge far:1"
