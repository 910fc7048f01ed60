"""Silence and spoilt sound: a speech with a pause put into it, as it is and as bad microphones give it.

A row for each kind of sound: the variance of the aperture in the pause over that in the speech around it, the
correlation with what the clean speech gave and the ratio of standard deviations. Last come sounds without any speech:
how far they open the mouth, and mean and standard deviation of the aperture, as shares of what the speech does.
"""

import numpy as np
import numpy.typing as npt

from tests.bench.aperture import Reading, lively
from tests.bench.cast import Clip
from tests.bench.clips import RATE as SOUND_RATE
from tests.bench.mouths import Mouth
from tests.bench.spoilt import SPOILT, pink
from tests.bench.tunes import TUNES

Samples = npt.NDArray[np.float32]

_SECONDS = 6.0
_PAUSE_S = 3.0
_SETTLING_S = 0.4
"""A mouth may take so long to shut, and gets ready so long before it speaks again."""
_LEVEL = np.float32(0.05)


def print_pauses(mouth: Mouth, pairs: list[tuple[Clip, Clip]]) -> None:
    """Print the table, for each pair of face and speaker."""
    print("\n| silence and sound | face | speech of | sound | variance in the pause | correlation | amplitude |")
    print("|---|---|---|---|---|---|---|")
    for face, speaker in pairs:
        speech, pause_s = with_pause(speaker.speech)
        clean = mouth.says(face, speech)
        who = f"| {mouth.name} | {face.name} | {speaker.name}"
        print(f"{who} | clean | {stillness(clean, pause_s):.3f} | 1.00 | 1.00 |", flush=True)
        for kind, spoil in SPOILT.items():
            heard = mouth.says(face, spoil(speech))
            length = min(len(clean.curve), len(heard.curve))
            one, other = lively(clean.curve[:length]), lively(heard.curve[:length])
            figures = f"{np.corrcoef(one, other)[0, 1]:.2f} | {other.std() / one.std():.2f}"
            print(f"{who} | {kind} | {stillness(heard, pause_s):.3f} | {figures} |", flush=True)
        for kind, sound in wordless(len(speech)).items():
            heard = mouth.says(face, sound)
            mean, deviation = shares(heard, clean, pause_s)
            opened = f"opens to {openness(heard, clean, pause_s):.0%}"
            print(f"{who} | {kind} | {opened} | mean {mean:.0%} | deviation {deviation:.0%} |", flush=True)


def with_pause(speech: Samples) -> tuple[Samples, float]:
    """The first seconds of a speech with silence put in at its quietest place, and when that begins."""
    part = speech[: int(_SECONDS * SOUND_RATE)]
    cells = np.square(part[: len(part) // 800 * 800].reshape(-1, 800)).mean(axis=1)
    middle = np.arange(len(cells) // 3, 2 * len(cells) // 3)
    cut = int(middle[np.argmin(cells[middle])]) * 800 + 400
    silence = np.zeros(int(_PAUSE_S * SOUND_RATE), np.float32)
    return np.concatenate([part[:cut], silence, part[cut:]]), cut / SOUND_RATE


def stillness(reading: Reading, pause_s: float) -> float:
    """Variance of the aperture in the pause over that in the speech."""
    resting = _resting(reading, pause_s)
    return float(resting.var() / _speaking(reading, pause_s).var())


def openness(reading: Reading, clean: Reading, pause_s: float) -> float:
    """How far the mouth opens (95th percentile) over the shut mouth, as a share of what speech does."""
    shut = float(np.median(_resting(clean, pause_s)))
    opened = float(np.quantile(_speaking(clean, pause_s), 0.95))
    after = reading.between(_SETTLING_S, float(reading.times[-1]))
    return float((np.quantile(after, 0.95) - shut) / (opened - shut))


def shares(reading: Reading, clean: Reading, pause_s: float) -> tuple[float, float]:
    """Mean of the aperture over the shut mouth and its standard deviation, as shares of what speech has."""
    shut = float(np.median(_resting(clean, pause_s)))
    spoken = _speaking(clean, pause_s)
    after = reading.between(_SETTLING_S, float(reading.times[-1]))
    return float((after.mean() - shut) / (spoken.mean() - shut)), float(after.std() / spoken.std())


def wordless(count: int) -> dict[str, Samples]:
    """Sounds without any speech."""
    return {
        "silence alone": np.zeros(count, np.float32),
        "noise alone": pink(count) * _LEVEL,
    } | {f"{kind} alone": play(count) * _LEVEL for kind, play in TUNES.items()}


def _resting(reading: Reading, pause_s: float) -> npt.NDArray[np.float64]:
    return reading.between(pause_s + _SETTLING_S, pause_s + _PAUSE_S - _SETTLING_S)


def _speaking(reading: Reading, pause_s: float) -> npt.NDArray[np.float64]:
    after = reading.between(pause_s + _PAUSE_S, float(reading.times[-1]))
    return np.concatenate([reading.between(0.0, pause_s), after])
