import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.errors import InvalidMediaError
from shared.media.audio import Samples, SoundInfo
from shared.media.limits import MediaLimits
from shared.media.mix import MixedSound, open_sounds

RATE = 8000


class Recording:
    """Samples that are given in blocks of uneven sizes."""

    def __init__(self, samples: np.ndarray, *, rate: int = RATE, channels: int = 1) -> None:
        self.info = SoundInfo(codec="pcm", rate=rate, channels=channels)
        self._samples = samples.astype(np.float32)

    def blocks(self, *, rate: int | None = None, channels: int | None = None) -> Iterator[Samples]:
        at, size = 0, 1
        while at < len(self._samples):
            yield np.tile(self._samples[np.newaxis, at : at + size], (channels or 1, 1))
            at, size = at + size, size * 3 % 997 + 1


def mixed(*parts: np.ndarray, channels: int = 1) -> np.ndarray:
    return np.concatenate(list(MixedSound([Recording(part) for part in parts]).blocks(channels=channels)), axis=1)


def sine(seconds: float, hertz: float, height: float) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (height * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def test_who_speaks_alone_is_heard_as_recorded() -> None:
    loud = sine(1.0, 440, 1.0)
    silence = np.zeros_like(loud)
    np.testing.assert_array_equal(mixed(loud, silence)[0], loud)


def test_voices_that_fit_are_added() -> None:
    one, other = sine(1.0, 440, 0.4), sine(0.6, 310, 0.5)
    total = one.copy()
    total[: len(other)] += other
    np.testing.assert_array_equal(mixed(one, other, channels=2), np.stack([total, total]))


def test_what_would_clip_is_turned_down_without_a_jump_and_only_there() -> None:
    one, other = sine(2.0, 440, 0.8), sine(2.0, 445, 0.8)
    other[RATE:] = 0
    total = (one + other)[:]
    result = mixed(one, other)[0]
    assert np.abs(total).max() > 1.5
    assert np.abs(result).max() <= 1
    np.testing.assert_array_equal(result[RATE + RATE // 50 :], one[RATE + RATE // 50 :])
    audible = np.abs(total) > 0.05
    gains = result[audible] / total[audible]
    assert gains.max() <= 1 + 1e-6
    assert np.abs(np.diff(gains)).max() < 0.05
    assert np.abs(result).max() > 0.95


def test_the_mix_lasts_as_long_as_the_longest() -> None:
    length = mixed(sine(1.0, 440, 0.4), sine(2.003, 300, 0.4)).shape[1]
    assert 2.003 * RATE <= length < 2.003 * RATE + RATE / 100


def test_it_is_as_good_as_the_best_of_them() -> None:
    sound = MixedSound([Recording(sine(0.1, 440, 1)), Recording(sine(0.1, 440, 1), rate=48_000, channels=2)])
    assert (sound.info.rate, sound.info.channels) == (48_000, 2)


def test_files_are_opened_together(tmp_path: Path) -> None:
    for name, height in (("a.wav", 0.3), ("b.wav", 0.2)):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((sine(0.5, 440, height) * 32767).astype("<i2").tobytes())
    with open_sounds([tmp_path / "a.wav", tmp_path / "b.wav"], MediaLimits()) as sound:
        heard = np.concatenate(list(sound.blocks()), axis=1)
    assert np.abs(heard).max() == pytest.approx(0.5, abs=0.01)
    (tmp_path / "c.wav").write_bytes(b"no sound")
    with (
        pytest.raises(InvalidMediaError),
        open_sounds([tmp_path / "a.wav", tmp_path / "c.wav"], MediaLimits()),
    ):
        pass
