"""The sound of a result with background: made once, before anybody needs it, and from then on the job's speech."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from edge_gateway.headroom import mixed
from edge_gateway.speech_track import sound_rate
from shared.errors import InvalidMediaError
from shared.media.audio import Samples, SoundReader, open_sound
from shared.media.container import media_errors, open_container, sniff
from shared.media.decoder import mean_rate, picture_stream
from shared.media.limits import MediaLimits
from shared.media.mix import Sound, open_sounds
from shared.media.sandbox import Channel
from shared.media.timeline import FitMode

_BLOCK: Final = 1 << 15
_TAIL_S: Final = 1.0
"""Background beyond the speech, since pictures may end up to a frame after it."""
_HELD_S: Final = 30
"""A background that is no longer is decoded once: for a click that goes on and on no decoder is opened each time."""
_FULL: Final = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class MixOrder:
    """The arguments of the task."""

    speeches: tuple[Path, ...]
    """Of all who speak."""
    length_us: int
    """Of the longest speech."""
    background: Path
    """A file with sound; the video where its own sound is kept."""
    volume: float
    """What the background's samples are multiplied by."""
    video: Path
    keeps_sound: bool
    """The background is the video's own sound and goes with its pictures."""
    keeps_length: bool
    """The result is as long as the video, if that is longer than the speech."""
    fit: FitMode
    output: Path
    limits: MediaLimits

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> Self:
        """From JSON values, all of them but ``limits``, which may lack."""
        return cls(
            speeches=tuple(map(Path, arguments["speeches"])),
            length_us=int(arguments["length_us"]),
            background=Path(arguments["background"]),
            volume=float(arguments["volume"]),
            video=Path(arguments["video"]),
            keeps_sound=bool(arguments["keeps_sound"]),
            keeps_length=bool(arguments["keeps_length"]),
            fit=FitMode(arguments["fit"]),
            output=Path(arguments["output"]),
            limits=MediaLimits(**arguments.get("limits", {})),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How all sounds of a mix are sampled."""

    rate: int
    channels: int

    def samples(self, seconds: float) -> int:
        return round(seconds * self.rate)

    def silence(self, count: int) -> Samples:
        return np.zeros((self.channels, count), np.float32)


def mix(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: write speech with background under it, as FLAC of 16 bits.

    Arguments are those of :meth:`MixOrder.of`. The file is on disk when the task answers ``{"kind": "mixed",
    "samples"}``; the same arguments give the same bytes. The speech keeps every sample as it was; where the sum would
    clip, the background gives way (see :mod:`edge_gateway.headroom`). A background that is shorter than the result
    begins again. A video's own sound goes with the pictures: again from its start where they are shown again (``loop``,
    and ``bounce``, as nothing sounds right backwards), once where they are not (``hold``, ``trim``).

    Raises:
        InvalidMediaError: speech or background has no sound or cannot be decoded.
    """
    order = MixOrder.of(arguments)
    with open_sounds(order.speeches, order.limits) as speech, _background(order) as background:
        channels = min(2, max(speech.info.channels, background.info.channels))
        form = _Form(rate=sound_rate(speech.info.rate), channels=channels)
        said = _Tape(_blocks(speech, form), form)
        heard = _Tape(_repeated(order, form), form)
        samples = _write(order, form, said, heard)
    with order.output.open("rb") as file:
        os.fsync(file.fileno())
    channel.send({"kind": "mixed", "samples": samples})


def picture_seconds(path: Path, limits: MediaLimits) -> float:
    """How long the pictures of a video are, from the first to the end of the last; 0 for a photo."""
    kind = sniff(path, "video")
    if kind.is_photo:
        return 0.0
    with open_container(path, kind, limits, "video") as container, media_errors("video"):
        stream = picture_stream(container)
        if stream is None or stream.time_base is None:
            return 0.0
        shown = sorted(
            (packet.pts, packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None
        )
        if not shown:
            return 0.0
        (first, _), (last, duration) = shown[0], shown[-1]
        step = duration * stream.time_base or 1 / mean_rate(stream)
        return float((last - first) * stream.time_base + step)


def _write(order: MixOrder, form: _Form, said: "_Tape", heard: "_Tape") -> int:
    seconds = order.length_us / 1e6
    if order.keeps_length:
        seconds = max(seconds, picture_seconds(order.video, order.limits))
    total = form.samples(min(seconds + _TAIL_S, order.limits.duration_seconds))

    def pairs() -> Iterator[tuple[Samples, Samples]]:
        for at in range(0, total, _BLOCK):
            size = min(_BLOCK, total - at)
            yield said.take(size), heard.take(size) * np.float32(order.volume)

    layout = "stereo" if form.channels == 2 else "mono"
    with av.open(str(order.output), "w", format="flac", options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream("flac", rate=form.rate, layout=layout, options={"flags": "+bitexact"})
        if not isinstance(stream, AudioStream):
            raise TypeError("FLAC is sound")
        at = 0
        for block in mixed(pairs()):
            levels = np.clip(np.rint(block * _FULL), -_FULL, _FULL - 1).astype(np.int16)
            packed = np.ascontiguousarray(levels.T.reshape(1, -1))
            frame = AudioFrame.from_ndarray(packed, format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = form.rate, at, Fraction(1, form.rate)
            at += block.shape[1]
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return at


@contextmanager
def _background(order: MixOrder) -> Iterator[SoundReader]:
    with ExitStack() as stack:
        try:
            sound = stack.enter_context(open_sound(order.background, order.limits, "background"))
        except InvalidMediaError as error:
            if not order.keeps_sound:
                raise
            message = f"the video's own sound cannot be kept: {error.message}"
            raise InvalidMediaError(message, field="background") from error
        yield sound


class _Tape:
    """Sound in pieces of any size; silence follows its end."""

    def __init__(self, blocks: Iterator[Samples], form: _Form) -> None:
        self._blocks = blocks
        self._form = form
        self._left = form.silence(0)

    def take(self, count: int) -> Samples:
        """The next samples."""
        parts, missing = [], count
        while missing:
            if not self._left.shape[1]:
                block = next(self._blocks, None)
                self._left = self._form.silence(missing) if block is None else block
            parts.append(self._left[:, :missing])
            self._left = self._left[:, missing:]
            missing -= parts[-1].shape[1]
        return np.concatenate(parts, axis=1)


def _blocks(sound: Sound, form: _Form) -> Iterator[Samples]:
    """The sound of a file once; one channel becomes two alike, neither louder than it."""
    own = min(sound.info.channels, form.channels)
    for block in sound.blocks(rate=form.rate, channels=own):
        yield block if own == form.channels else np.repeat(block, form.channels, axis=0)


def _repeated(order: MixOrder, form: _Form) -> Iterator[Samples]:
    """The background as often as it is wanted."""
    if order.keeps_sound and order.fit in {FitMode.HOLD, FitMode.TRIM}:
        yield from _once(order, form)
        return
    period = form.samples(picture_seconds(order.video, order.limits)) if order.keeps_sound else 0
    held: list[Samples] | None = []
    count = 0
    for block in _trimmed(_once(order, form), period, form):
        count += block.shape[1]
        if held is not None:
            held.append(block)
        if count > form.samples(_HELD_S):
            held = None
        yield block
    whole = None if held is None else np.concatenate(held, axis=1)
    if whole is not None and whole.shape[1]:
        whole = np.tile(whole, -(-_BLOCK // whole.shape[1]))
    while True:
        if whole is not None:
            yield whole
        else:
            yield from _trimmed(_once(order, form), period, form)


def _once(order: MixOrder, form: _Form) -> Iterator[Samples]:
    with _background(order) as sound:
        yield from _blocks(sound, form)


def _trimmed(blocks: Iterator[Samples], period: int, form: _Form) -> Iterator[Samples]:
    """Sound cut to a period, or followed by silence to its end; as it is where the period is 0."""
    if not period:
        yield from blocks
        return
    left = period
    for block in blocks:
        yield block[:, :left]
        left -= min(left, block.shape[1])
        if not left:
            return
    yield form.silence(left)
