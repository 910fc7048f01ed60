"""How far real lips open for what is heard: a ridge regression on clips of people who speak.

The phonetic table knows which sounds shut the lips; real clips know when, and how far, people open them otherwise. The
reading is fitted to apertures whose level and reach were taken away clip by clip, so that no speaker's habits are
learnt, and to each clip spoilt in many ways. A clip's sound is first brought in time with its picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from inference_node.speech.features import mel_features
from inference_node.speech.listener import CONTEXT_ROWS
from inference_node.speech.mouth import TRACK_RATE
from inference_node.training.clip_lips import ClipLips, read_clip
from inference_node.training.speech_net import SHAPES, SOUNDS, ListeningNet, Opening, sounds_of
from inference_node.training.speech_room import recorded, resampled, telephoned

_VARIANTS = 16
_TELEPHONE_EVERY = 3
_STRETCH = 0.18
_RIDGE = 0.03
_PRIOR = 0.3
"""Weight of the heard aperture, at the reach of real lips, beside what the regression found."""
_USUAL_REACH, _USUAL_LEVEL = 0.026, 0.055
"""Standard deviation (less the mean of a second) and mean of the aperture of people who speak, in face heights."""
_MOST_OFFSET_ROWS = 20
_SETTLED_ROWS = 20

Floats = npt.NDArray[np.float64]
KINDS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One variant of a clip: sounds [T, SOUNDS], heard shapes [T, 4] and the lips' apertures [T], all 100 a second."""

    sounds: Floats
    shapes: Floats
    aperture: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A reading on a clip that it was not fitted to."""

    clip: str
    offset_s: float
    """By how much the clip's sound comes after its picture, as far as the listening network can tell."""
    correlation: float
    spoilt: float
    """Mean correlation over the clip's spoilt variants."""
    amplitude: float


def read_clips(folder: Path) -> list[ClipLips]:
    """The clips of a folder.

    Raises:
        InvalidMediaError: one of them does not show one person who speaks.
    """
    return [read_clip(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in KINDS]


def lessons(net: ListeningNet, clip: ClipLips, seed: int) -> tuple[list[Lesson], float]:
    """The clip as it is and in spoilt variants, in time with the sound, and the offset that was mended in seconds."""
    plain = _lesson(net, clip, clip.samples, 1.0, 0.0)
    offset_s = _offset_s(plain)
    variants = [_lesson(net, clip, clip.samples, 1.0, offset_s)]
    for variant in range(1, _VARIANTS):
        rng = np.random.default_rng([seed, variant])
        stretch = float(np.exp(rng.uniform(-_STRETCH, _STRETCH)))
        spoil = telephoned if variant % _TELEPHONE_EVERY == 0 else recorded
        samples = spoil(resampled(clip.samples, stretch), rng)
        variants.append(_lesson(net, clip, samples, stretch, offset_s))
    return variants, offset_s


def fitted(clips: Sequence[Sequence[Lesson]]) -> Opening:
    """Fit a reading to clips, each with its variants; every clip weighs the same."""
    size = SOUNDS + SHAPES
    square, product = np.zeros((size, size)), np.zeros(size)
    reach_heard: list[float] = []
    for clip in clips:
        for lesson in clip:
            rows = _features(lesson)
            rows = rows - _slow(rows)
            truth = lively(lesson.aperture)
            weight = 1.0 / (len(truth) * len(clip) * len(clips))
            square += weight * rows.T @ rows
            product += weight * rows.T @ (truth / truth.std())
            reach_heard.append(float(rows[:, SOUNDS].std()))
    found = np.asarray(np.linalg.solve(square + _RIDGE * np.eye(size), product), dtype=np.float64)
    found[SOUNDS] += _PRIOR / float(np.mean(reach_heard))
    reach = float(np.mean([lively(_features(lesson) @ found).std() for clip in clips for lesson in clip[:1]]))
    found *= _USUAL_REACH / reach
    level = float(np.mean([(_features(lesson) @ found).mean() for clip in clips for lesson in clip]))
    return Opening(sounds=found[:SOUNDS], shapes=found[SOUNDS:], level=_USUAL_LEVEL - level)


def judged(clips: Sequence[tuple[str, list[Lesson], float]]) -> list[Judgement]:
    """Leave each clip out in turn and judge on it what the others gave."""
    out = []
    for name, variants, offset_s in clips:
        opening = fitted([others for other, others, _ in clips if other != name])
        scores = [_agreement(_read(opening, lesson), lesson.aperture) for lesson in variants]
        reach = lively(_read(opening, variants[0])).std() / lively(variants[0].aperture).std()
        spoilt = float(np.mean(scores[1:]))
        out.append(
            Judgement(clip=name, offset_s=offset_s, correlation=scores[0], spoilt=spoilt, amplitude=float(reach))
        )
    return out


def lively(curve: Floats) -> Floats:
    """A curve at the track's rate less its moving mean of one second."""
    return curve - _slow(curve[:, np.newaxis])[:, 0]


def _slow(rows: Floats) -> Floats:
    width = TRACK_RATE
    total = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    first = np.clip(np.arange(len(rows)) - width // 2, 0, None)
    last = np.clip(np.arange(len(rows)) + width // 2, None, len(rows))
    mean: Floats = (total[last] - total[first]) / (last - first)[:, np.newaxis]
    return mean


def _features(lesson: Lesson) -> Floats:
    return np.concatenate([lesson.sounds, lesson.shapes], axis=1)


def _read(opening: Opening, lesson: Lesson) -> Floats:
    return np.maximum(0.0, lesson.sounds @ opening.sounds + lesson.shapes @ opening.shapes + opening.level)


def _lesson(
    net: ListeningNet, clip: ClipLips, samples: npt.NDArray[np.float32], stretch: float, offset_s: float
) -> Lesson:
    mel = mel_features(samples, CONTEXT_ROWS)
    with torch.no_grad():
        shapes = net.eval()(torch.from_numpy(mel[None]))[0].numpy()
    spare = (len(shapes) - (len(mel) - 2 * CONTEXT_ROWS)) // 2
    rows = min(len(mel) - 2 * CONTEXT_ROWS, int(clip.times[-1] * stretch * TRACK_RATE))
    times = np.arange(rows) / TRACK_RATE / stretch
    return Lesson(
        sounds=sounds_of(mel)[:rows],
        shapes=shapes[spare : spare + rows].astype(np.float64),
        aperture=np.interp(times - offset_s, clip.times, clip.apertures),
    )


def _offset_s(lesson: Lesson) -> float:
    """How late the sound is against the lips: where the heard aperture agrees best with theirs."""
    heard = lively(lesson.shapes[:, 0])
    truth = lively(lesson.aperture)
    rows = range(-_MOST_OFFSET_ROWS, _MOST_OFFSET_ROWS + 1)
    inside = slice(_MOST_OFFSET_ROWS, -_MOST_OFFSET_ROWS)
    scores = [float(np.corrcoef(heard[inside], np.roll(truth, row)[inside])[0, 1]) for row in rows]
    return rows[int(np.argmax(scores))] / TRACK_RATE


def _agreement(rendered: Floats, truth: Floats) -> float:
    inside = slice(_SETTLED_ROWS, -_SETTLED_ROWS)
    return float(np.corrcoef(lively(rendered)[inside], lively(truth)[inside])[0, 1])
