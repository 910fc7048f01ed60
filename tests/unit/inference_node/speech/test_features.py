import numpy as np
import pytest

from inference_node.speech.features import BANDS, HOP, SAMPLE_RATE, mel_features, row_count


def click_at(seconds: float, length_s: float = 1.0) -> np.ndarray:
    samples = np.zeros(int(length_s * SAMPLE_RATE), np.float32)
    samples[int(seconds * SAMPLE_RATE)] = 1.0
    return samples


@pytest.mark.parametrize("count", [0, 1, HOP - 1, HOP, HOP + 1, 16_000, 16_000 * 100])
def test_one_row_begins_every_ten_milliseconds(count: int) -> None:
    rows = mel_features(np.zeros(count, np.float32))
    assert rows.shape == (count // HOP + 1, BANDS) == (row_count(count), BANDS)
    assert rows.dtype == np.float32


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.5, 0.99])
def test_a_row_is_centred_on_its_time(seconds: float) -> None:
    rows = mel_features(click_at(seconds))
    assert int(rows.mean(axis=1).argmax()) == pytest.approx(seconds * 100, abs=1)


def test_the_margins_show_what_silence_shows() -> None:
    silence = mel_features(np.zeros(16_000, np.float32), 25)
    assert silence.shape == (16_000 // HOP + 1 + 50, BANDS)
    np.testing.assert_allclose(silence, np.broadcast_to(silence[0], silence.shape), atol=1e-4)


def test_a_microphone_that_colours_the_sound_changes_little() -> None:
    rng = np.random.default_rng(0)
    samples = (rng.standard_normal(96_000) * np.repeat(rng.uniform(0.001, 0.2, 96), 1000)).astype(np.float32)
    spectrum = np.fft.rfft(samples)
    duller = np.fft.irfft(spectrum * np.linspace(1.0, 0.3, len(spectrum))).astype(np.float32)
    assert np.abs(mel_features(duller) - mel_features(samples)).mean() < 0.06


def test_gain_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    samples = (rng.standard_normal(32_000) * np.repeat(rng.uniform(0.01, 0.2, 32), 1000)).astype(np.float32)
    np.testing.assert_allclose(mel_features(samples), mel_features(samples * np.float32(0.05)), atol=1e-3)


def test_the_hiss_of_an_empty_recording_stays_far_below_speech() -> None:
    hiss = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * np.float32(1e-5)
    assert mel_features(hiss).max() < 0.5


def test_long_speech_is_the_sum_of_its_blocks() -> None:
    samples = np.random.default_rng(1).standard_normal(16_000 * 60).astype(np.float32)
    rows = mel_features(samples)
    around = mel_features(samples[160 * 4000 : 160 * 4200])
    difference = rows[4010:4190] - around[10:190]
    assert np.ptp(difference, axis=0).max() < 1e-3
