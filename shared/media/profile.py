"""How much of a link a job may take: what crops, patches and speech are encoded with, under one name."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from shared.media.audio import (
    SPEECH_BITRATE,
    SPEECH_RATE,
    audio_length_us,
    check_speech_length,
    encode_flac,
    encode_opus,
    open_sound,
)
from shared.media.encode import Codec, Coding
from shared.media.limits import MediaLimits
from shared.media.wire import Channel


class SpeechCodec(StrEnum):
    """What speech is encoded with."""

    OPUS = "opus"
    FLAC = "flac"
    """Loses nothing but what 16 bits lose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechCoding:
    """A codec for speech."""

    codec: SpeechCodec = SpeechCodec.OPUS
    bitrate: int = SPEECH_BITRATE
    """Bits a second of Opus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProfile:
    """What crosses the link between edge and node, and how good it is."""

    name: str
    crop: Coding
    """Of the crops on their way to the node."""
    patch: Coding
    """Of the painted mouths on their way back."""
    speech: SpeechCoding
    bits_a_second: float
    """What a second of video takes on the way that carries more: measured on the liveliest clip of
    ``python -m tests.bench.profiles``."""


FAST_LINK: Final = LinkProfile(
    name="fast-link",
    crop=Coding(codec=Codec.H264, crf=20, preset="veryfast"),
    patch=Coding(codec=Codec.H264, crf=14, preset="veryfast"),
    speech=SpeechCoding(codec=SpeechCodec.FLAC),
    bits_a_second=600_000,
)
BALANCED: Final = LinkProfile(
    name="balanced",
    crop=Coding(codec=Codec.H264, crf=30, preset="medium"),
    patch=Coding(codec=Codec.H264, crf=21, preset="medium"),
    speech=SpeechCoding(),
    bits_a_second=170_000,
)
THIN: Final = LinkProfile(
    name="thin",
    crop=Coding(codec=Codec.AV1, crf=48, preset="6"),
    patch=Coding(codec=Codec.AV1, crf=35, preset="6"),
    speech=SpeechCoding(bitrate=16_000),
    bits_a_second=130_000,
)

PROFILES: Final[Mapping[str, LinkProfile]] = MappingProxyType(
    {profile.name: profile for profile in (FAST_LINK, BALANCED, THIN)}
)
"""By name, the one that takes most of the link first."""


def encode_speech(path: Path, limits: MediaLimits, coding: SpeechCoding, field: str = "speech") -> bytes:
    """The sound of a file as the node gets it: mono, 16 kHz.

    Raises:
        InvalidMediaError: the file holds no sound.
        LimitExceededError: it is too long.
    """
    with open_sound(path, limits, field) as sound:
        blocks = sound.blocks(rate=SPEECH_RATE, channels=1)
        return encode_flac(blocks) if coding.codec is SpeechCodec.FLAC else encode_opus(blocks, coding.bitrate)


def speech_task(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: encode a file's sound for the node.

    Arguments: ``path``, ``field``, ``limits`` (of :class:`MediaLimits`), ``codec`` and ``bitrate`` (of
    :class:`SpeechCoding`). Sends one message, ``{"length_us"}`` with the sound as payload.

    Raises:
        InvalidMediaError: the file holds no sound.
        LimitExceededError: it is too short or too long.
    """
    path, field = Path(arguments["path"]), str(arguments.get("field", "speech"))
    limits = MediaLimits(**arguments.get("limits", {}))
    coding = SpeechCoding(codec=SpeechCodec(arguments["codec"]), bitrate=int(arguments["bitrate"]))
    length_us = audio_length_us(path, limits, field)
    check_speech_length(length_us, limits, field)
    channel.send({"length_us": length_us}, encode_speech(path, limits, coding, field))
