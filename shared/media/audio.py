"""Sound: decoded in blocks from anything, sent to the node as Opus."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from shared.errors import InvalidMediaError, LimitExceededError
from shared.media.container import Container, media_errors, open_container, sniff, sniff_bytes
from shared.media.decoder import picture_stream
from shared.media.limits import MediaLimits

Samples = npt.NDArray[np.float32]

SPEECH_RATE = 16_000
"""Samples a second of speech on its way to the node and in it."""
SPEECH_BITRATE = 24_000
"""Bits a second of that speech."""

_SECOND = 1_000_000
_COMPLETE = 0.9
_GAP_S = 0.25
"""Seconds that may be missing of any sound: recorders of fragmented MP4 write down a little more than there is."""
_TELLS_LENGTH = {Container.MP4, Container.FLAC, Container.WAV}
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundInfo:
    """What a sound stream is."""

    codec: str
    rate: int
    """Samples a second."""
    channels: int


class SoundReader:
    """Decodes the sound of a file in blocks; of a video, aligned with its first picture.

    Args:
        container: An open file.
        kind: What it is.
        limits: ``duration_seconds`` bounds what is decoded.
        field: The input at fault in errors.
    """

    def __init__(self, container: InputContainer, kind: Container, limits: MediaLimits, field: str) -> None:
        self._container = container
        self._kind = kind
        self._limits = limits
        self._field = field
        stream = sound_stream(container)
        if stream is None or stream.codec_context is None or not stream.codec_context.sample_rate:
            raise InvalidMediaError("the file holds no sound", field=field)
        self._stream = stream
        context = stream.codec_context
        context.thread_count = 1
        self.info = SoundInfo(
            codec=str(context.codec.canonical_name), rate=context.sample_rate, channels=context.channels
        )

    def blocks(self, *, rate: int | None = None, channels: int | None = None) -> Iterator[Samples]:
        """Sound as float32 [channels, n], -1 to 1, at a rate and number of channels (1 or 2) of one's own.

        Raises:
            InvalidMediaError: nothing can be decoded, or the end is missing.
            LimitExceededError: it is longer than ``duration_seconds``.
        """
        rate = rate or self.info.rate
        channels = channels or min(self.info.channels, 2)
        converter = _Converter(rate=rate, channels=channels)
        lead = self._lead_samples(rate)
        got = max(0, lead)
        if lead > 0:
            yield np.zeros((channels, lead), np.float32)
        with media_errors(self._field):
            for frame in self._frames():
                for block in converter.convert(frame):
                    kept = block if lead >= 0 else block[:, -lead:]
                    lead = min(0, lead + block.shape[1]) if lead < 0 else lead
                    got += kept.shape[1]
                    self._check_length(got, rate)
                    if kept.shape[1]:
                        yield kept
        self._check_end(got, rate)

    def _frames(self) -> Iterator[AudioFrame | None]:
        """Decoded frames, then None to empty the resampler."""
        packets = self._container.demux(self._stream)
        any_frame = False
        while True:
            try:
                packet = next(packets, None)
                frames = [] if packet is None else packet.decode()
            except av.error.InvalidDataError:
                continue
            if packet is None:
                break
            any_frame = any_frame or bool(frames)
            yield from frames
        if any_frame:
            yield None

    def _lead_samples(self, rate: int) -> int:
        """Silence to put before the sound of a video (or, below 0, sound to drop) so that both begin together."""
        pictures = picture_stream(self._container)
        if pictures is None or pictures.start_time is None or self._stream.start_time is None:
            return 0
        ours = self._stream.start_time * (self._stream.time_base or Fraction(0))
        theirs = pictures.start_time * (pictures.time_base or Fraction(0))
        return round(min(ours - theirs, Fraction(round(self._limits.duration_seconds))) * rate)

    def _check_length(self, samples: int, rate: int) -> None:
        if samples > self._limits.duration_seconds * rate:
            raise LimitExceededError(
                f"the sound is longer than the {self._limits.duration_seconds:g} s allowed",
                field=self._field,
                limit="duration_seconds",
            )

    def _check_end(self, samples: int, rate: int) -> None:
        if not samples:
            raise InvalidMediaError("the file holds no sound that can be decoded", field=self._field)
        stream = self._stream
        if self._kind not in _TELLS_LENGTH or not stream.duration or not stream.time_base:
            return
        declared, got = float(stream.duration * stream.time_base), samples / rate
        if declared - got > max(declared * (1 - _COMPLETE), _GAP_S):
            raise InvalidMediaError(
                f"the sound is truncated: it decodes to {got:.2f} s of {declared:.2f} s", field=self._field
            )


def sound_stream(container: InputContainer) -> AudioStream | None:
    """The first sound stream."""
    return container.streams.audio[0] if container.streams.audio else None


@contextmanager
def open_sound(path: Path, limits: MediaLimits, field: str = "speech") -> Iterator[SoundReader]:
    """Open the sound of any file.

    Raises:
        InvalidMediaError: there is none.
    """
    kind = sniff(path, field)
    if kind.is_photo:
        raise InvalidMediaError("the file is a picture and holds no sound", field=field)
    with open_container(path, kind, limits, field) as container:
        yield SoundReader(container, kind, limits, field)


def audio_length_us(path: Path, limits: MediaLimits, field: str = "speech") -> int:
    """The exact length of a file's sound, found by decoding it."""
    with open_sound(path, limits, field) as sound:
        samples: int = sum(block.shape[1] for block in sound.blocks(channels=1))
        return round(samples * _SECOND / sound.info.rate)


def check_speech_length(length_us: int, limits: MediaLimits, field: str = "speech") -> None:
    """Refuse speech that is too short or too long.

    Raises:
        LimitExceededError: it is shorter than ``min_speech_seconds`` or longer than ``duration_seconds``.
    """
    seconds = length_us / _SECOND
    if seconds < limits.min_speech_seconds:
        raise LimitExceededError(
            f"the speech is {seconds:.2f} s long; at least {limits.min_speech_seconds:g} s are needed",
            field=field,
            limit="min_speech_seconds",
        )
    if seconds > limits.duration_seconds:
        raise LimitExceededError(
            f"the speech is {seconds:.0f} s long; at most {limits.duration_seconds:g} s are allowed",
            field=field,
            limit="duration_seconds",
        )


def encode_opus(blocks: Iterator[Samples], bitrate: int = SPEECH_BITRATE) -> bytes:
    """Encode mono 16 kHz sound, float32 [1, n] blocks, to Ogg Opus that decodes aligned and at the same length."""
    sink = io.BytesIO()
    # Pages of one serial number, so that the bytes depend on the sound alone.
    with av.open(sink, "w", format="ogg", options={"fflags": "+bitexact", "serial_offset": "1"}) as out:
        options = {"application": "audio", "vbr": "on", "frame_duration": "20"}
        stream = out.add_stream("libopus", rate=SPEECH_RATE, layout="mono", bit_rate=bitrate, options=options)
        if not isinstance(stream, AudioStream):
            raise TypeError("libopus makes sound")
        at = 0
        for block in blocks:
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(block, np.float32), format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SPEECH_RATE, at, Fraction(1, SPEECH_RATE)
            at += block.shape[1]
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return sink.getvalue()


def encode_flac(blocks: Iterator[Samples]) -> bytes:
    """Encode mono 16 kHz sound, float32 [1, n] blocks, to FLAC of 16 bits."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="flac", options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream("flac", rate=SPEECH_RATE, layout="mono", options={"flags": "+bitexact"})
        if not isinstance(stream, AudioStream):
            raise TypeError("FLAC is sound")
        at = 0
        for block in blocks:
            levels = np.rint(np.clip(block, -1, 1) * 32767).astype(np.int16)
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(levels), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SPEECH_RATE, at, Fraction(1, SPEECH_RATE)
            at += block.shape[1]
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return sink.getvalue()


def decode_speech(data: bytes, *, max_seconds: float = 1200.0, field: str = "speech") -> Samples:
    """Decode speech in memory (Ogg Opus or any sound that viseme reads) to float32 mono at 16 kHz.

    Raises:
        InvalidMediaError: it is not sound.
        LimitExceededError: it is longer than ``max_seconds``.
    """
    kind = sniff_bytes(data)
    if kind is None or kind.is_photo:
        raise InvalidMediaError("the speech is not sound that viseme reads", field=field)
    limits = MediaLimits(duration_seconds=max_seconds)
    with media_errors(field), av.open(io.BytesIO(data), "r", format=kind.demuxer) as container:
        blocks = SoundReader(container, kind, limits, field).blocks(rate=SPEECH_RATE, channels=1)
        return np.concatenate([block[0] for block in blocks])


class _Converter:
    """Decoded frames to float32 blocks [channels, n] of one form, whatever forms the file goes through."""

    def __init__(self, *, rate: int, channels: int) -> None:
        self._rate = rate
        self._layout = "stereo" if channels == 2 else "mono"
        self._resampler = self._fresh()
        self._form: tuple[str, str, int] | None = None

    def convert(self, frame: AudioFrame | None) -> Iterator[Samples]:
        """Take one more frame; None gives what is left."""
        if frame is not None:
            # Times with holes or jumps must not make the resampler invent or drop sound.
            frame.pts = None
            form = frame.format.name, frame.layout.name, frame.sample_rate
            # Recordings that were joined change their form in the middle; a resampler knows only the first.
            if form != self._form:
                if self._form is not None:
                    yield from self._arrays(None)
                    self._resampler = self._fresh()
                self._form = form
        yield from self._arrays(frame)

    def _fresh(self) -> AudioResampler:
        return AudioResampler(format="fltp", layout=self._layout, rate=self._rate)

    def _arrays(self, frame: AudioFrame | None) -> Iterator[Samples]:
        for block in self._resampler.resample(frame):
            yield np.asarray(block.to_ndarray(), dtype=np.float32)
