"""What happens to sound before it reaches us; made here, apart from what the network was trained with."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from tests.bench.clips import RATE

Samples = npt.NDArray[np.float32]
_BELOW = 10.0 ** (-10.0 / 20.0)


def noisy(speech: Samples) -> Samples:
    """Pink noise 10 dB below the speech."""
    return _over(speech, pink(len(speech)))


def quiet(speech: Samples) -> Samples:
    """30 dB less, in 16 bits."""
    return np.round(speech * np.float32(10.0**-1.5) * 32767.0) / np.float32(32767.0)


def clipped(speech: Samples) -> Samples:
    """Driven until a tenth of the loud samples is cut off."""
    loud = np.abs(speech[np.abs(speech) > _loudness(speech)])
    limit = np.quantile(loud, 0.5)
    return np.clip(speech, -limit, limit) / limit


def narrow(speech: Samples) -> Samples:
    """What a telephone leaves: 300 to 3400 Hz."""
    spectrum = np.fft.rfft(speech)
    hertz = np.fft.rfftfreq(len(speech), 1 / RATE)
    spectrum[(hertz < 300) | (hertz > 3400)] = 0.0
    return np.fft.irfft(spectrum, len(speech)).astype(np.float32)


def scored(speech: Samples) -> Samples:
    """Music 10 dB below the speech."""
    return _over(speech, music(len(speech)))


def pink(count: int) -> Samples:
    """Pink noise of unit power."""
    spectrum = np.fft.rfft(np.random.default_rng(5).standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    return _unit(np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 20.0)), count))


def music(count: int) -> Samples:
    """A band of unit power: chords of detuned saws, a walking bass, a melody with vibrato, drums."""
    rng = np.random.default_rng(11)
    out = np.zeros(count)
    beat = RATE // 2
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12])
    for index, start in enumerate(range(0, count, beat)):
        seconds = np.arange(min(beat, count - start)) / RATE
        place = slice(start, start + len(seconds))
        root = 220.0 * 2 ** ((0, 9, 5, 7)[index // 4 % 4] / 12)
        for third in (0, 4, 7):
            for detune in (0.997, 1.003):
                out[place] += 0.12 * _saw(root * 2 ** (third / 12) * detune, seconds)
        out[place] += 0.8 * np.sin(2 * np.pi * root / 4 * seconds) * np.exp(-seconds / 0.3)
        note = root * 2 ** (int(rng.choice(scale)) / 12) * 2
        wobble = 0.006 * note / 5.5 * np.sin(2 * np.pi * 5.5 * seconds)
        out[place] += 0.3 * np.sin(2 * np.pi * note * seconds + wobble) * np.minimum(1.0, seconds / 0.05)
        hit = rng.standard_normal(len(seconds)) * np.exp(-seconds / (0.02 if index % 2 else 0.06))
        out[place] += (0.2 if index % 2 else 0.5) * hit
    return _unit(out)


SPOILT: Mapping[str, Callable[[Samples], Samples]] = MappingProxyType(
    {"noise 10 dB": noisy, "-30 dB": quiet, "clipped": clipped, "300-3400 Hz": narrow, "music 10 dB": scored}
)


def _saw(hertz: float, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    tones = [np.sin(2 * np.pi * hertz * k * seconds) / k for k in range(1, 13)]
    return np.asarray(np.sum(tones, axis=0))


def _unit(sound: npt.NDArray[np.float64]) -> Samples:
    return (sound / np.sqrt(np.mean(np.square(sound)))).astype(np.float32)


def _loudness(speech: Samples) -> float:
    """Root of the mean square where somebody speaks."""
    cells = np.square(speech[: len(speech) // 400 * 400].reshape(-1, 400)).mean(axis=1)
    return float(np.sqrt(np.mean(cells[cells > cells.max() * 1e-3])))


def _over(speech: Samples, other: Samples) -> Samples:
    return (speech + other * np.float32(_loudness(speech) * _BELOW)).astype(np.float32)
