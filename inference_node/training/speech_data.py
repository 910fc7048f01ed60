"""Make the speech that the listening network learns from: ``python -m inference_node.training.speech_data``.

Everything is synthetic: texts of ``speech_text``, spoken by espeak-ng, with mouths by ``speech_phones``, spoilt by
``speech_room``; beside them speech over tunes (``speech_talk_data``). The same seed gives the same data.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inference_node.speech.features import HOP, SAMPLE_RATE, mel_features
from inference_node.training import speech_festival, speech_flite
from inference_node.training.speech_phones import mouth_targets
from inference_node.training.speech_room import breath, music, noise, recorded, resampled
from inference_node.training.speech_talk_data import talks
from inference_node.training.speech_text import random_english, random_script, random_text
from inference_node.training.speech_voice import Delivery, Phone, Synthesiser, Utterance, VoiceError

DEFAULT_FOLDER = Path("build/speech")
_VARIANTS = tuple(
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 klatt4 klatt5 klatt6 adam Alex Alicia Andrea Andy "  # noqa: SIM905 - reads best as text
    "Annie anika belinda benjamin boris caleb david Denis Diogo ed edward Gene Gustave Henrique Hugo iven john Lee "
    "kaukovalta linda marcelo Marco max michael miguel mike norbert pablo paul pedro quincy rob robert sandro shelby "
    "steph travis victor grandma grandpa whisper croak".split()
)
_SAME_END_S = 0.05
"""Utterances whose phonemes end elsewhere than their sound are not what they say."""
_FLITE_SHARE, _FESTIVAL_SHARE = 0.25, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One file's worth of data: how many clips of it, by which seed."""

    path: Path
    seed: int
    clips: int
    talk: bool = False
    """Whether it tells when somebody speaks instead of what the mouth does."""


def main() -> None:
    """Write the data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--shards", type=int, default=30)
    parser.add_argument("--talks", type=int, default=4, help="shards of speech over tunes, and of tunes alone")
    parser.add_argument("--clips", type=int, default=64, help="clips of about 8 s in a shard")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    shards = [
        Shard(path=options.folder / f"shard-{seed:03d}.npz", seed=seed, clips=options.clips)
        for seed in range(options.shards)
    ]
    shards += [
        Shard(path=options.folder / f"talk-{seed:03d}.npz", seed=1000 + seed, clips=options.clips, talk=True)
        for seed in range(options.talks)
    ]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A process for each shard: espeak-ng can be started only once in a process.
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for shard, seconds in zip(shards, pool.map(write_shard, shards), strict=True):
            print(f"{shard.path}: {seconds:.0f} s of speech", flush=True)  # noqa: T201 - a command's output


def write_shard(shard: Shard) -> float:
    """Write one file: rows of features and of what is told of all clips one after another, and where each ends."""
    rng = np.random.default_rng(shard.seed)
    voice = Synthesiser()
    clips: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]] = []
    while len(clips) < shard.clips:
        clips += talks(_with_pauses(_spoken(voice, rng), rng), rng) if shard.talk else [_clip(voice, rng)]
    mel, told = (np.concatenate([clip[part] for clip in clips]).astype(np.float16) for part in (0, 1))
    ends = np.cumsum([len(clip[0]) for clip in clips])
    if shard.talk:
        np.savez(shard.path, mel=mel, talking=told, ends=ends)
    else:
        np.savez(shard.path, mel=mel, mouth=told, ends=ends)
    return len(mel) * HOP / SAMPLE_RATE


def _clip(voice: Synthesiser, rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Features and mouth of one clip; one in twelve holds no speech at all."""
    if rng.random() < 0.08:
        count = int(rng.integers(3, 9)) * SAMPLE_RATE
        samples = [music, noise][int(rng.integers(0, 2))](count, rng) * np.float32(10 ** (rng.uniform(-60, -15) / 20))
        mel = mel_features(samples)
        return mel, np.zeros((len(mel), 4), np.float32)
    utterance = _with_pauses(_spoken(voice, rng), rng)
    samples = recorded(utterance.samples, rng)
    if rng.random() < 0.5:  # files that begin and end in digital silence
        cut = int(rng.uniform(0.02, 0.1) * SAMPLE_RATE)
        samples[:cut] = samples[-cut:] = 0.0
    mel = mel_features(samples)
    return mel, mouth_targets(utterance, len(mel))


def _spoken(voice: Synthesiser, rng: np.random.Generator) -> Utterance:
    """Some text by some voice, at 16 kHz, with a vocal tract up to a fifth longer or shorter."""
    draw = rng.random()
    if draw < _FLITE_SHARE:
        utterance = _by_flite(rng)
    elif draw < _FLITE_SHARE + _FESTIVAL_SHARE:
        utterance = _by_festival(rng)
    else:
        utterance = _by_espeak(voice, rng)
    stretch = float(np.exp(rng.uniform(-0.18, 0.18)))
    samples = resampled(utterance.samples, SAMPLE_RATE / utterance.rate * stretch)
    phones = tuple(
        Phone(ipa=phone.ipa, start_s=phone.start_s * stretch, end_s=phone.end_s * stretch) for phone in utterance.phones
    )
    return Utterance(samples=samples, rate=SAMPLE_RATE, phones=phones)


def _by_flite(rng: np.random.Generator) -> Utterance:
    while True:
        text, who = random_english(rng), str(rng.choice(speech_flite.VOICES))
        utterance = speech_flite.speak(text, who, float(rng.uniform(0.8, 1.3)))
        # Its diphone voice sometimes speaks otherwise than it says.
        if abs(utterance.phones[-1].end_s - len(utterance.samples) / utterance.rate) < 0.03:
            return utterance


def _by_festival(rng: np.random.Generator) -> Utterance:
    while True:
        voice = speech_festival.VOICES[int(rng.integers(0, len(speech_festival.VOICES)))]
        text = random_text(rng, voice.language)
        utterance = speech_festival.speak(text, voice, float(rng.uniform(0.85, 1.25)))
        if abs(utterance.phones[-1].end_s - len(utterance.samples) / utterance.rate) < _SAME_END_S:
            return utterance


def _by_espeak(voice: Synthesiser, rng: np.random.Generator) -> Utterance:
    while True:
        script = random_script(rng)
        delivery = Delivery(
            voice=f"{script.language}+{rng.choice(_VARIANTS)}",
            words_per_minute=int(rng.integers(115, 230)),
            pitch=int(rng.integers(15, 85)),
            pitch_range=int(rng.integers(20, 90)),
        )
        try:
            utterance = voice.speak(script.text, delivery)
        except VoiceError:
            continue
        if len(utterance.samples) > utterance.rate:
            return utterance


def _with_pauses(utterance: Utterance, rng: np.random.Generator) -> Utterance:
    """The utterance with quiet before and after it, some of it breath."""
    before, after = (int(rng.uniform(0.1, 1.2) * SAMPLE_RATE) for _ in range(2))
    samples = np.concatenate([np.zeros(before, np.float32), utterance.samples, np.zeros(after, np.float32)])
    if rng.random() < 0.5 and before > SAMPLE_RATE // 3:
        length = int(rng.uniform(0.2, 0.33) * SAMPLE_RATE)
        start = int(rng.integers(0, before - length))
        loud = float(np.sqrt(np.mean(np.square(utterance.samples)))) * 10 ** (rng.uniform(-30, -8) / 20)
        samples[start : start + length] += breath(length, rng) * np.float32(loud)
    offset = before / SAMPLE_RATE
    end = len(samples) / SAMPLE_RATE
    last = utterance.phones[-1].end_s + offset
    phones = (
        Phone(ipa="", start_s=0.0, end_s=offset),
        *(Phone(ipa=p.ipa, start_s=p.start_s + offset, end_s=p.end_s + offset) for p in utterance.phones),
        Phone(ipa="", start_s=last, end_s=end),
    )
    return Utterance(samples=samples, rate=SAMPLE_RATE, phones=phones)


if __name__ == "__main__":
    main()
