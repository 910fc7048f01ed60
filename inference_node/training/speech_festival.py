# ruff: noqa: RUF001 - phonetic letters are the matter here
"""Festival as a third source of speech: voices made from recordings of people, with the times of their phonemes.

They read English, Italian, Finnish, Catalan and Russian.
"""

import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference_node.training.speech_flite import IPA as ENGLISH
from inference_node.training.speech_voice import Phone, Utterance, VoiceError

_PAUSES = {"pau": "", "#": "", "##": "", "_": ""}
_CONSONANTS = {letter: letter for letter in "pbtdkfvszmnlrjwh"} | {
    "g": "ɡ", "S": "ʃ", "Z": "ʒ", "ts": "ts", "tS": "tʃ", "dz": "dz", "dZ": "dʒ", "J": "ɲ", "ng": "ŋ", "N": "ŋ",
    "L": "ʎ", "nf": "ɱ", "T": "t", "D": "d", "rr": "r",
}  # fmt: skip
_ROMANCE = (
    _PAUSES
    | _CONSONANTS
    | {vowel + stress: ipa for vowel, ipa in zip("ieEaoOu", "ieɛaoɔu", strict=True) for stress in ("", "1")}
    | {"ax": "ə"}
)
_FINNISH_SHORT = _CONSONANTS | {
    "a": "ɑ",
    "e": "e",
    "i": "i",
    "o": "o",
    "u": "u",
    "y": "y",
    "@": "æ",
    "7": "ø",
    "&": "ə",
}
_FINNISH = _PAUSES | _FINNISH_SHORT | {f"{name}:": ipa for name, ipa in _FINNISH_SHORT.items()}
_RUSSIAN_CONSONANTS = {name: ipa for name, ipa in _CONSONANTS.items() if len(name) == 1} | {"h": "x"}
_RUSSIAN = (
    _PAUSES
    | _RUSSIAN_CONSONANTS
    | {name * 2: ipa for name, ipa in _RUSSIAN_CONSONANTS.items()}
    | {"ii": "i", "yy": "ɨ", "uu": "u", "ee": "ɛ", "oo": "o", "aa": "a", "a": "ə", "e": "ɪ", "i": "ɪ", "y": "ɨ"}
    | {"u": "u", "ae": "ɪ", "ay": "ə", "ur": "u", "c": "ts", "ch": "tɕ", "sh": "ʂ", "sch": "ɕ", "zh": "ʐ"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FestivalVoice:
    """A voice, the language that it reads and how that is written."""

    name: str
    language: str
    encoding: str
    ipa: dict[str, str]


VOICES = (
    FestivalVoice(name="ked_diphone", language="en", encoding="ascii", ipa=ENGLISH),
    FestivalVoice(name="cmu_us_slt_arctic_hts", language="en", encoding="ascii", ipa=ENGLISH),
    FestivalVoice(name="lp_diphone", language="it", encoding="latin-1", ipa=_ROMANCE),
    FestivalVoice(name="pc_diphone", language="it", encoding="latin-1", ipa=_ROMANCE),
    FestivalVoice(name="upc_ca_ona_hts", language="es", encoding="latin-1", ipa=_ROMANCE),
    FestivalVoice(name="hy_fi_mv_diphone", language="fi", encoding="latin-1", ipa=_FINNISH),
    FestivalVoice(name="suo_fi_lj_diphone", language="fi", encoding="latin-1", ipa=_FINNISH),
    FestivalVoice(name="msu_ru_nsh_clunits", language="ru", encoding="utf-8", ipa=_RUSSIAN),
)
_SCRIPT = """
(voice_{voice})
(Parameter.set 'Duration_Stretch {stretch:.3f})
(set! said (utt.synth (Utterance Text "{text}")))
(mapcar (lambda (s) (format t "%s %f\\n" (item.name s) (item.feat s "end"))) (utt.relation.items said 'Segment))
(utt.save.wave said "{path}" 'riff)
"""


def speak(text: str, voice: FestivalVoice, stretch: float) -> Utterance:
    """Speak a text (letters, digits and stops) in the voice's language, ``stretch`` times as slow as it would.

    Raises:
        VoiceError: festival or the voice is not there, or it failed.
    """
    program = shutil.which("festival")
    if program is None:
        raise VoiceError("festival is not installed; the packages that it wants are named in the network's card")
    with tempfile.TemporaryDirectory() as folder:
        script, path = Path(folder, "say.scm"), Path(folder, "speech.wav")
        words = text.replace("\\", " ").replace('"', " ")
        told = _SCRIPT.format(voice=voice.name, stretch=stretch, text=words, path=path)
        script.write_bytes(told.encode(voice.encoding))
        done = subprocess.run([program, "-b", str(script)], capture_output=True, check=False, timeout=120)
        if done.returncode != 0 or not path.exists():
            raise VoiceError(f"festival failed as {voice.name}: {done.stderr.decode(errors='replace')[:200]}")
        with wave.open(str(path)) as file:
            rate = file.getframerate()
            pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    samples = pcm.astype(np.float32) / 32768.0
    return Utterance(samples=samples, rate=rate, phones=_phones(done.stdout.decode(errors="replace"), voice))


def _phones(listing: str, voice: FestivalVoice) -> tuple[Phone, ...]:
    phones: list[Phone] = []
    start = 0.0
    for line in listing.splitlines():
        name, _, stamp = line.partition(" ")
        if not stamp:
            continue
        end = float(stamp)
        if end > start:
            # A name that is not known says nothing about the lips, as "?" does.
            phones.append(Phone(ipa=voice.ipa.get(name, "?"), start_s=start, end_s=end))
            start = end
    if not phones:
        raise VoiceError(f"festival said nothing as {voice.name}")
    return tuple(phones)
