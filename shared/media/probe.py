"""What a file is, found by looking into it."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from shared.errors import InvalidMediaError, LimitExceededError
from shared.media.audio import SoundInfo, SoundReader, audio_length_us, sound_stream
from shared.media.container import Container, media_errors, open_container, sniff
from shared.media.decoder import VideoDecoder, declared_us, mean_rate, readable_stream
from shared.media.growing import Media, media_of
from shared.media.limits import MediaLimits
from shared.media.photo import check_frame_size, read_photo
from shared.media.picture import describe, to_microseconds, upright_planes
from shared.media.planes import Matrix
from shared.media.wire import Channel

_SECOND = 1_000_000
_COMPLETE = 0.9
_NOTHING = "the file holds neither pictures nor sound"


class MediaKind(StrEnum):
    """What a file holds."""

    VIDEO = "video"
    AUDIO = "audio"
    PHOTO = "photo"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """What probing found."""

    kind: MediaKind
    container: str
    """mp4, matroska, avi, wav, png, ..."""
    duration_seconds: float = 0.0
    """0 for a photo."""
    width: int = 0
    """As displayed, in pixels; 0 without pictures."""
    height: int = 0
    """As displayed, in pixels; 0 without pictures."""
    frame_rate: float = 0.0
    """Mean frames a second; 0 without pictures."""
    frames: int = 0
    """About how many; exact but for files with broken parts."""
    video_codec: str = ""
    audio_codec: str = ""
    sample_rate: int = 0
    channels: int = 0
    matrix: str = ""
    """As :class:`Matrix`; empty without pictures."""
    full_range: bool = False
    original_width: int = 0
    """Of a photo before it was reduced to ``width``; 0 where nothing was reduced."""
    original_height: int = 0
    """Of a photo before it was reduced to ``height``; 0 where nothing was reduced."""

    @property
    def has_video(self) -> bool:
        """True with pictures, moving or still."""
        return self.kind is not MediaKind.AUDIO

    @property
    def has_audio(self) -> bool:
        """True with sound."""
        return bool(self.audio_codec)

    def to_header(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self) | {"kind": self.kind.value}

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> "MediaInfo":
        """Undo :meth:`to_header`."""
        return cls(**(header | {"kind": MediaKind(header["kind"])}))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """What the packets say, nothing decoded."""

    frames: int
    end_us: int
    sound: SoundInfo | None


def probe(media: Path, limits: MediaLimits, field: str) -> MediaInfo:
    """Look into a file; run where a file may do no harm.

    Raises:
        InvalidMediaError: it is empty, truncated, mislabelled, or nothing in it can be decoded.
        LimitExceededError: its frames, their number or its length are beyond the limits.
    """
    kind = sniff(media, field)
    if kind.is_photo:
        return _probe_photo(media, kind, limits, field)
    with open_container(media, kind, limits, field) as container:
        stream = readable_stream(container, field)
        sound = _sound(container, kind, limits, field)
        if stream is not None:
            check_frame_size(stream.width, stream.height, limits, field)
            measured = _measure(container, stream, sound, limits, field)
    if stream is not None:
        return _probe_video(media, kind, measured, limits, field)
    if sound is None:
        raise InvalidMediaError(_NOTHING, field=field)
    length_us = audio_length_us(media, limits, field)
    return MediaInfo(
        kind=MediaKind.AUDIO,
        container=kind.label,
        duration_seconds=length_us / _SECOND,
        audio_codec=sound.codec,
        sample_rate=sound.rate,
        channels=sound.channels,
    )


def probe_task(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: probe a file.

    Arguments: ``path``, ``field``, ``limits`` (of :class:`MediaLimits`). Sends one message, whose header is
    :meth:`MediaInfo.to_header`.
    """
    limits = MediaLimits(**arguments.get("limits", {}))
    channel.send(probe(Path(arguments["path"]), limits, str(arguments.get("field", ""))).to_header())


def glance(media: Media, limits: MediaLimits, field: str) -> MediaInfo:
    """What a file is by its own account and its first frame; of one that is still coming no more is read.

    What :func:`probe` finds out by reading everything is only refused here where it certainly will be there.

    Raises:
        InvalidMediaError: it is empty, mislabelled, or nothing in it can be decoded.
        LimitExceededError: its frames, their number or its length are beyond the limits.
    """
    kind = sniff(media, field)
    if kind.is_photo:
        return _probe_photo(media, kind, limits, field)
    with open_container(media, kind, limits, field) as container:
        stream = readable_stream(container, field)
        sound = _sound(container, kind, limits, field)
        if stream is None:
            return _glanced_sound(container, kind, sound, field)
        check_frame_size(stream.width, stream.height, limits, field)
        end_us = declared_us(container, stream)
        # Only an MP4 lists its frames one by one; what others say of their number is hearsay.
        listed = stream.frames if kind is Container.MP4 else 0
        frames = listed or round(end_us * mean_rate(stream) / _SECOND)
        _check_pixels(int(listed * _COMPLETE), stream.width * stream.height, limits, field)
        # One that turns out shorter than this is refused as truncated.
        _check_length(int(end_us * _COMPLETE), 0, limits, field)
        declared = _Measured(frames=frames, end_us=end_us, sound=sound)
    return _probe_video(media, kind, declared, limits, field)


def glance_task(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: look at a file that may still be coming; arguments and answer as of :func:`probe_task`.

    ``growing_bytes`` is its size at the end where it is not whole.
    """
    limits = MediaLimits(**arguments.get("limits", {}))
    media = media_of(channel, arguments["path"], int(arguments.get("growing_bytes", 0)))
    channel.send(glance(media, limits, str(arguments.get("field", ""))).to_header())


def _glanced_sound(container: InputContainer, kind: Container, sound: SoundInfo | None, field: str) -> MediaInfo:
    if sound is None:
        raise InvalidMediaError(_NOTHING, field=field)
    return MediaInfo(
        kind=MediaKind.AUDIO,
        container=kind.label,
        duration_seconds=(container.duration or 0) / _SECOND,
        audio_codec=sound.codec,
        sample_rate=sound.rate,
        channels=sound.channels,
    )


def _probe_photo(media: Media, kind: Container, limits: MediaLimits, field: str) -> MediaInfo:
    photo = read_photo(media, limits, field)
    size = photo.planes.width, photo.planes.height
    original = (0, 0) if photo.original_size == size else photo.original_size
    return MediaInfo(
        kind=MediaKind.PHOTO,
        container=kind.label,
        width=size[0],
        height=size[1],
        frames=1,
        video_codec=kind.label,
        matrix=Matrix.BT709.value,
        original_width=original[0],
        original_height=original[1],
    )


def _probe_video(media: Media, kind: Container, measured: _Measured, limits: MediaLimits, field: str) -> MediaInfo:
    with VideoDecoder(media, kind, limits, field) as decoder:
        first = decoder.next()
        if first is None:
            raise InvalidMediaError("the video holds no frame that can be decoded", field=field)
        check_frame_size(first.width, first.height, limits, field)
        with media_errors(field):
            planes = upright_planes(first, first.width, first.height)
        source = describe(first, planes, decoder.aspect, decoder.rate)
        codec = decoder.codec
    seconds, frames, sound = measured.end_us / _SECOND, measured.frames, measured.sound
    return MediaInfo(
        kind=MediaKind.VIDEO,
        container=kind.label,
        duration_seconds=seconds,
        width=source.width,
        height=source.height,
        frame_rate=frames / seconds if frames > 1 and seconds > 0 else float(source.rate),
        frames=frames,
        video_codec=codec,
        audio_codec=sound.codec if sound else "",
        sample_rate=sound.rate if sound else 0,
        channels=sound.channels if sound else 0,
        matrix=source.matrix.value,
        full_range=source.full_range,
    )


def _sound(container: InputContainer, kind: Container, limits: MediaLimits, field: str) -> SoundInfo | None:
    stream = sound_stream(container)
    if stream is None or stream.codec_context is None or not stream.codec_context.sample_rate:
        return None
    return SoundReader(container, kind, limits, field).info


def _measure(
    container: InputContainer, stream: VideoStream, sound: SoundInfo | None, limits: MediaLimits, field: str
) -> _Measured:
    """Walk through the packets of the pictures: how many, until when, and whether the end is there."""
    count, first, last, step = 0, None, 0, 0
    pixels = stream.width * stream.height
    time_base = stream.time_base
    with media_errors(field):
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.InvalidDataError:
                break
            if packet is None:
                break
            if not packet.size or packet.is_discard:
                continue
            count += 1
            _check_pixels(count, pixels, limits, field)
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None or time_base is None:
                continue
            first = time if first is None else min(first, time)
            if time >= last:
                last, step = time, packet.duration or 0
    rate_us = round(_SECOND / mean_rate(stream))
    end_us = count * rate_us
    if first is not None and time_base is not None:
        end_us = to_microseconds(last + step - first, time_base) + (0 if step else rate_us)
    _check_length(end_us, declared_us(container, stream), limits, field)
    return _Measured(frames=count, end_us=end_us, sound=sound)


def _check_pixels(count: int, pixels: int, limits: MediaLimits, field: str) -> None:
    if count * pixels > limits.decoded_pixels:
        raise LimitExceededError(
            f"the video has more than the {limits.decoded_pixels} pixels allowed over all its frames"
            f" ({count} frames of {pixels} pixels and more)",
            field=field,
            limit="decoded_pixels",
        )


def _check_length(end_us: int, declared: int, limits: MediaLimits, field: str) -> None:
    if end_us > limits.duration_seconds * _SECOND:
        raise LimitExceededError(
            f"the video is {end_us / _SECOND:.0f} s long; at most {limits.duration_seconds:g} s are allowed",
            field=field,
            limit="duration_seconds",
        )
    if end_us < declared * _COMPLETE:
        raise InvalidMediaError(
            f"the video is truncated: {end_us / _SECOND:.2f} s of {declared / _SECOND:.2f} s are there", field=field
        )
