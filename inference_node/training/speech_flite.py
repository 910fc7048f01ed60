# ruff: noqa: RUF001 - phonetic letters are the matter here
"""Flite as a second source of speech: few voices, English only, but made from recordings of people.

Without it the network knows formant synthesis alone, and real voices are strange to it.
"""

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from inference_node.training.speech_voice import Phone, Utterance, VoiceError

VOICES = ("slt", "rms", "awb", "kal16")

IPA = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "axr": "ɚ", "ay": "aɪ", "eh": "ɛ", "er": "ɝ",
    "ey": "eɪ", "ih": "ɪ", "iy": "i", "ow": "oʊ", "oy": "ɔɪ", "uh": "ʊ", "uw": "u", "b": "b", "ch": "tʃ", "d": "d",
    "dh": "ð", "f": "f", "g": "ɡ", "hh": "h", "hv": "h", "jh": "dʒ", "k": "k", "l": "l", "m": "m", "n": "n", "ng": "ŋ",
    "p": "p", "r": "ɹ", "s": "s", "sh": "ʃ", "t": "t", "th": "θ", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ",
    "em": "m", "en": "n", "el": "l", "dx": "ɾ", "pau": "", "h#": "", "brth": "",
}  # fmt: skip


def speak(text: str, voice: str, stretch: float) -> Utterance:
    """Speak English with one of ``VOICES``, ``stretch`` times as slow as it would.

    Raises:
        VoiceError: flite is not there or failed.
    """
    program = shutil.which("flite")
    if program is None:
        raise VoiceError("flite is not installed; on Debian: apt-get install flite")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        command = [
            program,
            "-voice",
            voice,
            "-psdur",
            "--setf",
            f"duration_stretch={stretch:.3f}",
            "-t",
            text,
            str(path),
        ]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        if done.returncode != 0:
            raise VoiceError(f"flite failed: {done.stderr.decode(errors='replace')[:200]}")
        with wave.open(str(path)) as file:
            rate = file.getframerate()
            pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return Utterance(samples=pcm.astype(np.float32) / 32768.0, rate=rate, phones=_phones(done.stdout.decode()))


def _phones(listing: str) -> tuple[Phone, ...]:
    """Phonemes from ``name:end`` pairs; sentences follow each other, each counting from its own beginning."""
    phones: list[Phone] = []
    offset, start = 0.0, 0.0
    for pair in listing.split():
        name, _, stamp = pair.partition(":")
        end = float(stamp)
        if end + offset <= start:
            offset = start
        phones.append(Phone(ipa=IPA[name], start_s=start, end_s=end + offset))
        start = end + offset
    return tuple(phones)
