# ruff: noqa: RUF001 - phonetic letters are the matter here
"""Phonemes to mouth shapes: targets by articulatory phonetics, blended by dominance (after Cohen and Massaro, 1993).

Every phoneme asks for a shape with a strength that fades with the distance in time; the mouth follows the weighted
mean. Lips that must meet (/m b p/) override it. Rounding is asked for earlier than it is heard, as people do.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_node.speech.mouth import TRACK_RATE
from inference_node.training.speech_voice import Phone, Utterance

Track = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Target:
    """Aperture (face heights), width, rounding, and how strongly the phoneme asks for aperture and for lip shape."""

    aperture: float
    width: float
    rounding: float
    firmness: float
    lips: float


_REST = _Target(0.0, 0.0, 0.0, 1.6, 0.6)
_PAUSE = _Target(0.055, 0.0, 0.0, 0.7, 0.2)
"""A short pause: people do not shut their mouths between words, they breathe or get ready."""
_NEUTRAL = _Target(0.05, 0.0, 0.0, 0.15, 0.1)
# The gap is that of the lips, not of the teeth or the tongue: it stays open behind /s t n k/, and is small in /u w/.
_TARGETS = {
    **dict.fromkeys("aɑɐä", _Target(0.105, 0.03, 0.0, 1.0, 0.5)),
    "æ": _Target(0.100, 0.10, 0.0, 1.0, 0.6),
    "ɛ": _Target(0.082, 0.08, 0.0, 0.9, 0.5),
    "ʌ": _Target(0.085, 0.00, 0.0, 0.8, 0.4),
    "ə": _Target(0.052, 0.00, 0.0, 0.4, 0.2),
    **dict.fromkeys("ɜɚɝ", _Target(0.055, -0.05, 0.30, 0.8, 0.6)),
    "e": _Target(0.060, 0.12, 0.0, 0.9, 0.7),
    "ɪ": _Target(0.045, 0.10, 0.0, 0.8, 0.5),
    "i": _Target(0.035, 0.18, 0.0, 0.9, 0.9),
    **dict.fromkeys("ɨɯᵻ", _Target(0.042, 0.06, 0.0, 0.8, 0.5)),
    "ɤ": _Target(0.058, 0.00, 0.0, 0.8, 0.4),
    **dict.fromkeys("yʏ", _Target(0.016, -0.20, 0.85, 1.4, 1.2)),
    **dict.fromkeys("øœɵ", _Target(0.045, -0.15, 0.70, 1.0, 1.1)),
    **dict.fromkeys("uʉ", _Target(0.015, -0.28, 1.00, 1.6, 1.4)),
    "ʊ": _Target(0.025, -0.18, 0.70, 1.2, 1.0),
    "o": _Target(0.036, -0.20, 0.80, 1.2, 1.2),
    "ɔ": _Target(0.075, -0.14, 0.60, 1.0, 1.1),
    "ɒ": _Target(0.085, -0.08, 0.45, 1.0, 0.9),
    **dict.fromkeys("pbmɓ", _Target(0.000, 0.00, 0.0, 2.0, 0.15)),
    **dict.fromkeys("fvɱ", _Target(0.012, 0.02, 0.0, 2.5, 0.3)),
    **dict.fromkeys("ʋβɸ", _Target(0.018, 0.00, 0.15, 2.0, 0.4)),
    **dict.fromkeys("θð", _Target(0.045, 0.02, 0.0, 0.8, 0.2)),
    **dict.fromkeys("sz", _Target(0.042, 0.08, 0.0, 0.8, 0.5)),
    **dict.fromkeys("ʃʒ", _Target(0.042, -0.10, 0.60, 0.8, 1.0)),
    **dict.fromkeys("ɕʑ", _Target(0.042, 0.02, 0.15, 0.8, 0.5)),
    **dict.fromkeys("ʂʐ", _Target(0.042, -0.05, 0.40, 0.8, 0.7)),
    **dict.fromkeys("tdlɫɬɗ", _Target(0.045, 0.03, 0.0, 0.4, 0.15)),
    **dict.fromkeys("ʈɖɭcɟʎ", _Target(0.045, 0.02, 0.0, 0.4, 0.2)),
    **dict.fromkeys("nɲɳŋ", _Target(0.032, 0.02, 0.0, 0.7, 0.15)),
    **dict.fromkeys("rɾ", _Target(0.045, 0.00, 0.05, 0.6, 0.15)),
    **dict.fromkeys("ɹɻɽ", _Target(0.034, -0.10, 0.50, 1.1, 0.8)),
    **dict.fromkeys("kɡgxɣqχʁɢ", _Target(0.060, 0.00, 0.0, 0.4, 0.1)),
    **dict.fromkeys("hɦʔħʕ", _Target(0.060, 0.00, 0.0, 0.15, 0.05)),
    **dict.fromkeys("jç", _Target(0.036, 0.12, 0.0, 0.9, 0.6)),
    **dict.fromkeys("wɥʍ", _Target(0.008, -0.26, 1.00, 2.4, 1.5)),
}
_RETROFLEX = str.maketrans("szi", "ʂʐɨ")
_VOWELS = frozenset("aɑɐäæɛʌəɜɚɝeɪiɨɯᵻɤyʏøœɵuʉʊoɔɒ")
_STOPS = frozenset("pbtdkɡgqcɟʈɖʔɓɗ")
_CLOSED = frozenset("pbmɓ")

_LONGEST_CLOSURE_S = 0.14
_APERTURE_REACH_S = (0.045, 0.040)
_LIPS_REACH_S = (0.110, 0.070)
_REST_REACH_S = (0.045, 0.060)
"""How far before and after a phoneme its pull reaches (1/e)."""
_INERTIA_S = 0.018
_CLOSING_S = 0.055
_PRESSING_S = 0.040
_LEAD_S = 0.030
"""How much the mouth is ahead of what it lets out."""
_SHORT_PAUSE_S, _SHUTTING_S, _GETTING_READY_S = 0.35, 0.05, 0.15


@dataclass(frozen=True, slots=True)
class _Segment:
    letter: str
    target: _Target
    start_s: float
    end_s: float
    loudness_db: float


def mouth_targets(utterance: Utterance, rows: int) -> Track:
    """The mouth that speaks an utterance: [rows, 4], columns as in ``Shape``, ``TRACK_RATE`` rows a second."""
    segments = _segments(utterance)
    times = np.arange(rows) / TRACK_RATE + _LEAD_S
    aperture, width, rounding = _blend(segments, times)
    track = np.zeros((rows, 4), np.float32)
    track[:, 0] = _smoothed(aperture)
    track[:, 1] = _smoothed(width)
    track[:, 2] = _smoothed(rounding)
    for start, end in _closures(segments):
        distance = np.maximum(0.0, np.maximum(start - times, times - end))
        track[:, 0] *= _smooth_step(distance / _CLOSING_S)
        track[:, 3] = np.maximum(track[:, 3], 1.0 - _smooth_step(distance / _PRESSING_S))
    return track


def is_closed_lips(ipa: str) -> bool:
    """Whether the lips meet in this phoneme."""
    return bool(_letters(ipa)) and _letters(ipa)[0] in _CLOSED


def is_vowel(ipa: str) -> bool:
    """Whether it is a vowel or begins as one."""
    return bool(_letters(ipa)) and _letters(ipa)[0] in _VOWELS


def with_closures(utterance: Utterance) -> tuple[Phone, ...]:
    """The phonemes, with the silence of a stop's closure given to the stop (espeak-ng gives it to what came before)."""
    phones = [phone for phone in utterance.phones if not phone.ipa.startswith("(")]
    step = utterance.rate // 200
    power = np.square(utterance.samples[: len(utterance.samples) // step * step].reshape(-1, step)).mean(axis=1)
    quiet = power < 10.0**-5.5
    for index in range(1, len(phones)):
        phone, before = phones[index], phones[index - 1]
        if not _letters(phone.ipa) or _letters(phone.ipa)[0] not in _STOPS:
            continue
        cell = int(phone.start_s * 200) - 1
        start = phone.start_s
        while cell > 0 and quiet[min(cell, len(quiet) - 1)] and phone.start_s - cell / 200 < _LONGEST_CLOSURE_S:
            start = cell / 200
            cell -= 1
        start = max(start, before.start_s)
        phones[index] = Phone(ipa=phone.ipa, start_s=start, end_s=phone.end_s)
        phones[index - 1] = Phone(ipa=before.ipa, start_s=before.start_s, end_s=start)
    return tuple(phone for phone in phones if phone.end_s > phone.start_s)


def _letters(ipa: str) -> str:
    return "".join(letter for letter in ipa if letter in _TARGETS)


def _segments(utterance: Utterance) -> list[_Segment]:
    """Phonemes with their targets; diphthongs and affricates are split."""
    segments = []
    for phone in with_closures(utterance):
        letters = _letters(phone.ipa)
        if not phone.ipa:
            segments.extend(_pause(phone.start_s, phone.end_s))
            continue
        if not letters:
            segments.append(_Segment("?", _NEUTRAL, phone.start_s, phone.end_s, 0.0))
            continue
        if "." in phone.ipa:  # so espeak-ng writes Mandarin's retroflexes and the vowel after them
            letters = letters.translate(_RETROFLEX)
        first, last = int(phone.start_s * utterance.rate), int(phone.end_s * utterance.rate)
        power = float(np.mean(np.square(utterance.samples[first : max(last, first + 1)])))
        edges = np.linspace(phone.start_s, phone.end_s, len(letters) + 1)
        for letter, start, end in zip(letters, edges[:-1], edges[1:], strict=True):
            segments.append(_Segment(letter, _TARGETS[letter], start, end, 10.0 * np.log10(power + 1e-6)))
    return segments


def _pause(start_s: float, end_s: float) -> list[_Segment]:
    """A short pause leaves the mouth ajar; in a long one it shuts soon and opens shortly before the next sound."""
    if end_s - start_s < _SHORT_PAUSE_S:
        return [_Segment("", _PAUSE, start_s, end_s, 0.0)]
    shut, ready = start_s + _SHUTTING_S, end_s - _GETTING_READY_S
    return [
        _Segment("", _PAUSE, start_s, shut, 0.0),
        _Segment("", _REST, shut, ready, 0.0),
        _Segment("", _PAUSE, ready, end_s, 0.0),
    ]


def _blend(segments: list[_Segment], times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Aperture, width and rounding as dominance-weighted means of what the phonemes ask for, [3, rows]."""
    vowels = [segment.loudness_db for segment in segments if segment.letter in _VOWELS]
    usual_db = float(np.median(vowels)) if vowels else 0.0
    sums = np.zeros((3, len(times)))
    weights = np.full((3, len(times)), 1e-6)
    for segment in segments:
        target = segment.target
        reach = _REST_REACH_S if target is _REST else _APERTURE_REACH_S
        jaw = target.firmness * _pull(segment, times, reach)
        lips = target.lips * _pull(segment, times, _LIPS_REACH_S)
        effort = 1.0
        if segment.letter in _VOWELS:  # who speaks up opens wider
            effort = float(np.clip(1.0 + 0.03 * (segment.loudness_db - usual_db), 0.65, 1.3))
        for row, (value, weight) in enumerate(
            ((target.aperture * effort, jaw), (target.width, lips), (target.rounding, lips))
        ):
            sums[row] += value * weight
            weights[row] += weight
    means: npt.NDArray[np.float64] = sums / weights
    return means


def _pull(segment: _Segment, times: npt.NDArray[np.float64], reach: tuple[float, float]) -> npt.NDArray[np.float64]:
    before = np.maximum(0.0, segment.start_s - times) / reach[0]
    after = np.maximum(0.0, times - segment.end_s) / reach[1]
    return np.exp(-np.minimum(before + after, 50.0))


def _closures(segments: list[_Segment]) -> list[tuple[float, float]]:
    """When the lips are on each other: all of /m/, /b/ until its release, /p/ until its burst."""
    closures = []
    for segment in segments:
        if segment.letter not in _CLOSED:
            continue
        length = segment.end_s - segment.start_s
        share = {"m": 0.9, "p": 0.6}.get(segment.letter, 0.7)
        closures.append((segment.start_s, segment.start_s + share * length))
    return closures


def _smooth_step(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    y = np.clip(x, 0.0, 1.0)
    return y * y * (3.0 - 2.0 * y)


def _smoothed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What the mass of lips and jaw makes of it."""
    reach = int(4 * _INERTIA_S * TRACK_RATE)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (_INERTIA_S * TRACK_RATE)) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
