# ruff: noqa: RUF001 - Mandarin is the matter here
"""Closure: a synthesised sentence, whose sounds are known to the millisecond; do the lips meet on /m b p/?

Lips count as closed where the aperture is below 15 % of the way from the face's own reading of shut lips (the median of
the silence before and after the sentence) to that of open ones (the 90th percentile of the sentence). A sound is closed
where a frame within 1/25 s of it is. ``by chance`` is the same with the times shifted by 0.2 to 0.5 s either way;
``vowels open`` is the share of vowels that show the mouth open, which one that never opens would lack.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from inference_node.speech.features import SAMPLE_RATE
from inference_node.training.speech_phones import is_closed_lips, is_vowel, with_closures
from inference_node.training.speech_room import resampled
from inference_node.training.speech_voice import Delivery, Synthesiser
from tests.bench.aperture import RATE, Reading
from tests.bench.cast import Clip
from tests.bench.mouths import Mouth

SENTENCES = {
    "en-us+f3": "Later this evening seven tired bakers had to carry their bread home. Maybe nobody asked why it rained "
    "so much in April. My boat is tied behind the old mill. Paul hopes to see the top of that hill before Monday.",
    "cmn+m3": "今天下午妈妈带我们去学校北边的山上看风景。老师说那里有一只白色的小鸟，它不怕人，"
    "每天在树上唱歌。爸爸买了面包。",
}
_QUIET_S = 0.8
_SHUT_BELOW = 0.15
_SHIFTS_S = (-0.5, -0.4, -0.3, -0.2, 0.2, 0.3, 0.4, 0.5)
_LEAST_VOWEL_S = 0.06

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """Speech (float32 mono 16 kHz) with silence around it, and when its closures and vowels are, in seconds."""

    voice: str
    samples: npt.NDArray[np.float32]
    closures: tuple[Span, ...]
    vowels: tuple[Span, ...]
    end_s: float


@cache
def sentences() -> list[Sentence]:
    """Speak them by espeak-ng, which starts only once in a process.

    Raises:
        VoiceError: it is not installed.
    """
    synthesiser = Synthesiser()
    return [_spoken(synthesiser, voice, text) for voice, text in SENTENCES.items()]


def print_closure(mouth: Mouth, faces: list[Clip]) -> None:
    """Print a row for each sentence and face."""
    print("\n| closure | face | voice | closed /m b p/ | by chance | vowels open |\n|---|---|---|---|---|---|")
    for face in faces:
        for sentence in sentences():
            reading = mouth.says(face, sentence.samples)
            level = shut_below(reading, sentence)
            met = [_least(reading, span) <= level for span in sentence.closures]
            chance = np.mean([_least(reading, span, by) <= level for span in sentence.closures for by in _SHIFTS_S])
            opened = [float(reading.between(*_widened(span)).max()) > level for span in sentence.vowels]
            figures = f"{np.sum(met)} of {len(met)} ({np.mean(met):.0%}) | {chance:.0%} | {np.mean(opened):.0%}"
            print(f"| {mouth.name} | {face.name} | {sentence.voice} | {figures} |", flush=True)


def shut_below(reading: Reading, sentence: Sentence) -> float:
    """The aperture from which on lips do not count as closed any more."""
    before = reading.between(0.15, _QUIET_S - 0.25)
    after = reading.between(sentence.end_s + 0.3, sentence.end_s + _QUIET_S)
    shut = float(np.median(np.concatenate([before, after])))
    opened = float(np.quantile(reading.between(_QUIET_S, sentence.end_s), 0.9))
    return shut + _SHUT_BELOW * (opened - shut)


def _least(reading: Reading, span: Span, by: float = 0.0) -> float:
    start, end = _widened(span)
    near = reading.between(start + by, end + by)
    return float(near.min()) if len(near) else float("inf")


def _widened(span: Span) -> Span:
    return span[0] - 1 / RATE, span[1] + 1 / RATE


def _spoken(synthesiser: Synthesiser, voice: str, text: str) -> Sentence:
    utterance = synthesiser.speak(text, Delivery(voice=voice, words_per_minute=155))
    quiet = np.zeros(int(_QUIET_S * SAMPLE_RATE), np.float32)
    samples = np.concatenate([quiet, resampled(utterance.samples, SAMPLE_RATE / utterance.rate), quiet])
    phones = [phone for phone in with_closures(utterance) if phone.ipa]
    spans = [(phone.ipa, (phone.start_s + _QUIET_S, phone.end_s + _QUIET_S)) for phone in phones]
    vowels = [span for ipa, span in spans if is_vowel(ipa) and span[1] - span[0] >= _LEAST_VOWEL_S]
    return Sentence(
        voice=voice,
        samples=samples,
        closures=tuple(span for ipa, span in spans if is_closed_lips(ipa)),
        vowels=tuple(vowels),
        end_s=max(span[1] for _, span in spans),
    )
