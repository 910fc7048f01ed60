import numpy as np
import pytest

from inference_node.own.card import SpeechRule
from inference_node.own.mel import hear

RULE = SpeechRule(
    n_fft=800, window=800, hop=200, bands=80, low_hz=55.0, high_hz=7600.0, preemphasis=0.97, rows=16
)  # fmt: skip


def slaney(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def hertz_of(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def slow_mel(samples: np.ndarray) -> np.ndarray:
    """The published features, step by step in float64, one row and one band at a time."""
    emphasised = [samples[0]] + [samples[i] - 0.97 * samples[i - 1] for i in range(1, len(samples))]
    sound = np.array(emphasised, np.float64)
    # Reflected at both ends without repeating the end itself.
    sound = np.concatenate([sound[400:0:-1], sound, sound[-2:-402:-1]])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 800)
    edges = [hertz_of(mel) for mel in np.linspace(slaney(55.0), slaney(7600.0), 82)]
    rows = []
    for first in range(0, len(sound) - 799, 200):
        piece = sound[first : first + 800] * hann
        # The discrete Fourier transform as it is defined, for every bin.
        angle = -2j * np.pi * np.outer(np.arange(401), np.arange(800)) / 800
        size = np.abs(np.exp(angle) @ piece)
        row = []
        for band in range(80):
            low, middle, high = edges[band : band + 3]
            total = 0.0
            for index in range(401):
                at = index * 20.0
                weight = max(0.0, min((at - low) / (middle - low), (high - at) / (high - middle)))
                total += weight * 2 / (high - low) * size[index]
            decibels = 20 * np.log10(max(1e-5, total)) - 20
            row.append(float(np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)))
        rows.append(row)
    return np.array(rows)


def test_rows_are_those_of_the_published_features() -> None:
    rng = np.random.default_rng(4)
    times = np.arange(1900) / 16_000
    samples = 0.4 * np.sin(2 * np.pi * 310 * times) + 0.2 * np.sin(2 * np.pi * 2900 * times) * (times > 0.05)
    samples = (samples + rng.normal(0, 0.003, len(samples))).astype(np.float32)
    rows = hear(samples, RULE).rows
    expected = slow_mel(samples)
    assert rows.shape == expected.shape == (1 + 1900 // 200, 80)
    np.testing.assert_allclose(rows, expected, atol=2e-4)


def test_a_tone_is_loudest_in_its_own_band() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000)).astype(np.float32)
    edges = [hertz_of(mel) for mel in np.linspace(slaney(55.0), slaney(7600.0), 82)]
    loudest = int(hear(tone, RULE).rows[20].argmax())
    assert edges[loudest] < 1000 < edges[loudest + 2]


def test_long_speech_is_the_same_in_blocks_and_silence_is_the_floor() -> None:
    samples = np.random.default_rng(2).normal(0, 0.1, 200 * 2100).astype(np.float32)
    whole, end = hear(samples, RULE), hear(samples[-200 * 100 :], RULE)
    np.testing.assert_allclose(whole.rows[-90:], end.rows[-90:], atol=1e-5)
    assert (hear(np.zeros(1600, np.float32), RULE).rows == -4.0).all()
    assert hear(np.zeros(1, np.float32), RULE).rows.shape == (1, 80)


@pytest.mark.parametrize(
    ("rate", "starts"),
    [
        (25.0, [0, 3, 6, 9, 12, 16, 19]),
        (30.0, [0, 2, 5, 8, 10, 13, 16]),
        (30000 / 1001, [0, 2, 5, 8, 10, 13, 16]),
    ],
)
def test_a_frame_gets_the_sixteen_rows_from_its_own_time_on(rate: float, starts: list[int]) -> None:
    track = hear(np.zeros(16_000 * 3, np.float32), RULE)
    numbered = np.repeat(np.arange(len(track.rows), dtype=np.float32)[:, None], 80, axis=1)
    track = type(track)(rows=numbered, rule=RULE, silence=-4.0)
    windows = track.at(np.array([round(i * 1e6 / rate) / 1e6 for i in range(7)]))
    assert windows.shape == (7, 16, 80)
    assert [int(window[0, 0]) for window in windows] == starts
    assert (windows[:, -1, 0] - windows[:, 0, 0] == 15).all()


def test_every_window_begins_at_the_whole_row_before_its_frame_however_times_are_rounded() -> None:
    track = hear(np.zeros(16_000 * 60, np.float32), RULE)
    numbered = np.repeat(np.arange(len(track.rows), dtype=np.float32)[:, None], 80, axis=1)
    track = type(track)(rows=numbered, rule=RULE, silence=-4.0)
    frames = np.arange(1400)
    for top, bottom in ((25, 1), (30, 1), (30_000, 1001), (60, 1)):
        times = np.array([round(int(i) * 1_000_000 * bottom / top) / 1e6 for i in frames])
        assert (track.at(times)[:, 0, 0] == frames * 80 * bottom // top).all()


def test_beyond_the_speech_there_is_silence_and_the_offset_moves_windows() -> None:
    rule = RULE.model_copy(update={"offset_ms": -50.0})
    track = hear(np.random.default_rng(1).normal(0, 0.2, 16_000).astype(np.float32), rule)
    windows = track.at(np.array([0.0, 0.95, 7.0]))
    assert (windows[0, :4] == -4.0).all()
    np.testing.assert_array_equal(windows[0, 4:], track.rows[:12])
    np.testing.assert_array_equal(windows[1, :9], track.rows[72:81])
    assert (windows[1, 9:] == -4.0).all()
    assert (windows[2] == -4.0).all()
