"""Speech between and over tunes, and tunes alone, to learn by when somebody speaks: ``speech_data`` writes it."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from inference_node.speech.features import HOP, SAMPLE_RATE, mel_features
from inference_node.training.speech_phones import mouth_targets
from inference_node.training.speech_room import recorded
from inference_node.training.speech_tunes import tune
from inference_node.training.speech_voice import Phone, Utterance

Samples = npt.NDArray[np.float32]
Talk = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Features [T, BANDS] and, 1 or 0, whether somebody speaks [T, 1]."""

_MIXES = 3
_RECORDED_SHARE = 0.7
_MOVING = 0.02
_HELD_ROWS, _BRIDGED_ROWS = 10, 25


def talks(utterance: Utterance, rng: np.random.Generator) -> list[Talk]:
    """An utterance (16 kHz) within and over a few tunes, and as many tunes alone."""
    out = []
    for _ in range(_MIXES):
        mixed = _over_a_tune(utterance, rng)
        mel = mel_features(recorded(mixed.samples, rng))
        out.append((mel, talking_rows(mouth_targets(mixed, len(mel)))))
        alone = tune(int(rng.uniform(4.0, 9.0) * SAMPLE_RATE), rng)
        raw = rng.random() >= _RECORDED_SHARE
        mel = mel_features(alone * np.float32(10 ** rng.uniform(-3, -1)) if raw else recorded(alone, rng))
        out.append((mel, np.zeros((len(mel), 1), np.float32)))
    return out


def talking_rows(mouths: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """1 where a mouth [T, 4] moves, a tenth of a second about it and in the short pauses between; [T, 1]."""
    moving = (np.abs(mouths) > _MOVING).any(axis=1).astype(np.float64)
    window = np.ones(2 * (_HELD_ROWS + _BRIDGED_ROWS) + 1)
    near = np.convolve(moving, window, mode="same") > 0.5
    kept = np.convolve(~near, np.ones(2 * _BRIDGED_ROWS + 1), mode="same") < 0.5
    return kept.astype(np.float32)[:, np.newaxis]


def _over_a_tune(utterance: Utterance, rng: np.random.Generator) -> Utterance:
    """The utterance with time before and after it, and a tune under all of it or up to it or from its end."""
    before, after = (int(rng.uniform(0.0, 3.0) * SAMPLE_RATE) // HOP * HOP for _ in range(2))
    spoken = len(utterance.samples)
    samples = np.concatenate([np.zeros(before, np.float32), utterance.samples, np.zeros(after, np.float32)])
    played = tune(len(samples), rng)
    where = rng.random()
    if where < 0.15:
        played[before:] = 0.0
    elif where < 0.3:
        played[: before + spoken] = 0.0
    loud = float(np.sqrt(np.mean(np.square(utterance.samples))))
    samples += played * np.float32(loud * 10 ** (-rng.uniform(2.0, 26.0) / 20))
    offset = before / SAMPLE_RATE
    end = len(samples) / SAMPLE_RATE
    moved = [replace(phone, start_s=phone.start_s + offset, end_s=phone.end_s + offset) for phone in utterance.phones]
    last = moved[-1].end_s
    phones = (Phone(ipa="", start_s=0.0, end_s=offset), *moved, Phone(ipa="", start_s=last, end_s=end))
    return Utterance(
        samples=samples, rate=utterance.rate, phones=tuple(phone for phone in phones if phone.end_s > phone.start_s)
    )
