"""Music in which nobody speaks, of kinds that the speech network never heard (it learns from ``speech_tunes``)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from tests.bench.clips import RATE
from tests.bench.spoilt import music

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]

_FORMANTS = {"ah": (750, 1200, 2600), "oo": (320, 800, 2300), "eh": (520, 1850, 2500), "oh": (450, 850, 2500)}
_BANDWIDTHS = (80.0, 110.0, 160.0)
_CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))


def plucked(count: int) -> Samples:
    """Guitar-like strings by Karplus and Strong, four a second in broken chords."""
    rng = np.random.default_rng(21)
    out = np.zeros(count)
    for place, start in enumerate(range(0, count, RATE // 4)):
        hertz = 146.8 * 2 ** (_CHORDS[place // 8 % 4][place % 3] / 12)
        period = round(RATE / hertz)
        length = min(count - start, 2 * RATE)
        string = np.zeros(length + period)
        string[:period] = rng.uniform(-1, 1, period)
        for first in range(period, length + period, period - 1):
            part = string[first : first + period - 1]
            before = string[first - period :]
            part += 0.499 * (before[: len(part)] + before[1 : len(part) + 1])
        out[start : start + length] += string[:length]
    return _unit(out)


def choir(count: int) -> Samples:
    """Many voices that hold vowels in chords, two seconds each, with the formants that vowels have."""
    rng = np.random.default_rng(22)
    out = np.zeros(count)
    for place, start in enumerate(range(0, count, 2 * RATE)):
        length = min(count - start, int(2.3 * RATE))
        seconds = np.arange(length) / RATE
        swell = np.clip(seconds / 0.3, 0, 1) * np.clip((2.3 - seconds) / 0.3, 0, 1)
        formants = list(_FORMANTS.values())[place % 4]
        for note in _CHORDS[place % 4]:
            for _ in range(3):
                hertz = 164.8 * 2 ** (note / 12) * rng.normal(1.0, 0.004)
                turns = 2 * np.pi * hertz * seconds
                wobble = 0.008 * hertz / 5.5 * np.sin(2 * np.pi * 5.5 * seconds + rng.uniform(0, 6.3))
                for tone in range(1, int(5000 / hertz)):
                    away = (hertz * tone - np.array(formants)) / _BANDWIDTHS
                    gain = float(np.sum(1 / (1 + away**2))) / tone
                    out[start : start + length] += gain * swell * np.sin(tone * (turns + wobble))
    return _unit(out)


def bells(count: int) -> Samples:
    """Bells by frequency modulation, some three a second."""
    rng = np.random.default_rng(23)
    out = np.zeros(count)
    start = 0
    while start < count:
        seconds = np.arange(min(count - start, 2 * RATE)) / RATE
        hertz = 330.0 * 2 ** (int(rng.choice([0, 2, 4, 7, 9, 12])) / 12)
        strike = 5.0 * np.exp(-seconds / 0.4) * np.sin(2 * np.pi * 1.4 * hertz * seconds)
        out[start : start + len(seconds)] += np.exp(-seconds / 0.7) * np.sin(2 * np.pi * hertz * seconds + strike)
        start += int(RATE * rng.choice([0.25, 0.25, 0.5]))
    return _unit(out)


TUNES: Mapping[str, Callable[[int], Samples]] = MappingProxyType(
    {"band": music, "plucked strings": plucked, "choir": choir, "bells": bells}
)


def _unit(sound: Curve) -> Samples:
    return (sound / np.sqrt(np.mean(np.square(sound)))).astype(np.float32)
