"""espeak-ng as a source of speech whose phonemes and their times are known exactly.

The library is called through ctypes because the command-line program does not tell the times.
"""

import ctypes
import ctypes.util
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_RETRIEVAL = 1
_PHONEME_EVENTS_AS_IPA = 0x3
_CHARS_UTF8 = 1
_PHONEME_MARKUP = 0x100
_POSITION_CHARACTER = 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """One phoneme as the synthesiser spoke it: IPA, empty for a pause; times in seconds."""

    ipa: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """Speech (float32, mono, -1 to 1) and its phonemes, which cover it without gaps."""

    samples: npt.NDArray[np.float32]
    rate: int
    phones: tuple[Phone, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Who speaks and how: a voice such as ``en-us+f3``, words a minute, pitch and its range (0 to 100)."""

    voice: str
    words_per_minute: int = 170
    pitch: int = 50
    pitch_range: int = 50


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class VoiceError(RuntimeError):
    """espeak-ng is not there or refuses a voice."""


class Synthesiser:
    """espeak-ng in this process; the library holds global state, so one at a time and in one thread."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise VoiceError("libespeak-ng is not installed; on Debian: apt-get install espeak-ng")
        self._library = ctypes.CDLL(name)
        self.rate: int = self._library.espeak_Initialize(_RETRIEVAL, 0, None, _PHONEME_EVENTS_AS_IPA)
        if self.rate <= 0:
            raise VoiceError("espeak-ng does not start")
        self._chunks: list[npt.NDArray[np.int16]] = []
        self._marks: list[tuple[int, str]] = []
        self._callback = _Callback(self._take)  # the library keeps no reference of its own
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, wav: Any, count: int, events: Any) -> int:
        if count > 0 and wav:
            self._chunks.append(np.ctypeslib.as_array(wav, shape=(count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            event = events[index]
            if event.type == _EVENT_PHONEME:
                self._marks.append((event.sample, event.id.string.decode("utf-8", "ignore")))
            index += 1
        return 0

    def speak(self, text: str, delivery: Delivery) -> Utterance:
        """Speak a text, which may hold phonemes of espeak's own in double brackets.

        Raises:
            VoiceError: there is no such voice.
        """
        if self._library.espeak_SetVoiceByName(delivery.voice.encode()) != 0:
            raise VoiceError(f"espeak-ng has no voice {delivery.voice}")
        self._library.espeak_SetParameter(_RATE, delivery.words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, delivery.pitch, 0)
        self._library.espeak_SetParameter(_RANGE, delivery.pitch_range, 0)
        self._chunks.clear()
        self._marks.clear()
        data = text.encode() + b"\0"
        flags = _CHARS_UTF8 | _PHONEME_MARKUP
        self._library.espeak_Synth(data, len(data), 0, _POSITION_CHARACTER, 0, flags, None, None)
        self._library.espeak_Synchronize()
        pcm = np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.int16)
        return Utterance(
            samples=pcm.astype(np.float32) / 32768.0, rate=self.rate, phones=self._phones(len(pcm) / self.rate)
        )

    def _phones(self, end_s: float) -> tuple[Phone, ...]:
        marks = [(sample / self.rate, ipa.strip("\0 _")) for sample, ipa in self._marks]
        if not marks or marks[0][0] > 0:
            marks.insert(0, (0.0, ""))
        ends = [start for start, _ in marks[1:]] + [end_s]
        return tuple(
            Phone(ipa=ipa, start_s=start, end_s=end)
            for (start, ipa), end in zip(marks, ends, strict=True)
            if end > start
        )
