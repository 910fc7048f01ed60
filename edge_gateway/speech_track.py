"""The sound of a result: the speech as AAC, encoded piece by piece in step with the pictures."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from shared.media.audio import Samples
from shared.media.mix import Sound

SOUND_BITRATE = 192_000
"""Bits a second of the result's sound, both channels together."""

_RATES = (44_100, 48_000)


def sound_rate(rate: int) -> int:
    """Samples a second of the result's sound, of speech that has ``rate``."""
    return rate if rate in _RATES else _RATES[1]


class SpeechTrack:
    """One encoder from the speech's beginning to the result's end; the same calls give the same packets.

    Args:
        out: The container that the track is for.
        speech: The recording; its end is followed by silence.
        bitrate: Bits a second.
    """

    def __init__(self, out: OutputContainer, speech: Sound, bitrate: int) -> None:
        channels = min(speech.info.channels, 2)
        self.rate = sound_rate(speech.info.rate)
        """Samples a second."""
        self.channels = channels
        self._layout = "stereo" if channels == 2 else "mono"
        self._blocks = _endless(speech.blocks(rate=self.rate, channels=channels), channels, self.rate)
        self._left = np.zeros((channels, 0), np.float32)
        self._at = 0
        stream = out.add_stream("aac", rate=self.rate, layout=self._layout, bit_rate=bitrate)
        if not isinstance(stream, AudioStream):
            raise TypeError("aac makes sound")
        self._stream = stream

    @property
    def config(self) -> bytes:
        """The AudioSpecificConfig of the packets; known once the first were asked for."""
        return self._stream.codec_context.extradata or b""

    def until(self, time_us: int) -> Iterator["Packet[AudioStream]"]:
        """Encode the speech up to a time of the result; the encoder keeps the last of it for a while."""
        end = round(time_us * self.rate / 1_000_000)
        while self._at < end:
            if not self._left.shape[1]:
                self._left = next(self._blocks)
            block, self._left = np.split(self._left, [min(self._left.shape[1], end - self._at)], axis=1)
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts, frame.time_base = self.rate, self._at, Fraction(1, self.rate)
            self._at += block.shape[1]
            yield from self._stream.encode(frame)

    def close(self) -> Iterator["Packet[AudioStream]"]:
        """Encode what the encoder still keeps."""
        yield from self._stream.encode(None)


def _endless(blocks: Iterator[Samples], channels: int, rate: int) -> Iterator[Samples]:
    """Sound, and silence after it."""
    yield from blocks
    while True:
        yield np.zeros((channels, rate), np.float32)
