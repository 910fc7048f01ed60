"""Containers: told by their content, opened with no more trust than they need."""

import contextlib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer

from shared.errors import InvalidMediaError
from shared.media.growing import GrowingMedia, Media, media_size, open_media
from shared.media.limits import MediaLimits

_HEAD_BYTES = 64 << 10
_BOX_BYTES = 16
_BLOCKS = 1 << 16
_STREAMS = 16
"""Streams whose decoders are told the limit before they are probed."""


class Container(Enum):
    """A kind of file: its name for people and the demuxer that it is forced to."""

    MP4 = ("mp4", "mov")
    MATROSKA = ("matroska", "matroska")
    AVI = ("avi", "avi")
    FLV = ("flv", "flv")
    WAV = ("wav", "wav")
    MP3 = ("mp3", "mp3")
    FLAC = ("flac", "flac")
    OGG = ("ogg", "ogg")
    AAC = ("aac", "aac")
    JPEG = ("jpeg", "")
    PNG = ("png", "")

    def __init__(self, label: str, demuxer: str) -> None:
        self.label = label
        self.demuxer = demuxer

    @property
    def is_photo(self) -> bool:
        """True for a still picture."""
        return not self.demuxer


_KNOWN = "MP4, MOV, MKV, WebM, AVI, FLV, WAV, MP3, M4A, AAC, FLAC, Ogg, Opus, JPEG or PNG"

_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}


def sniff(media: Media, field: str) -> Container:
    """Tell a file's container by its first bytes; its name plays no part.

    Raises:
        InvalidMediaError: it is empty, cut off, or nothing that viseme reads.
    """
    try:
        size = media_size(media)
        with open_media(media) as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise InvalidMediaError("there is no such file", field=field) from None
    if not size:
        raise InvalidMediaError("the file is empty (0 bytes)", field=field)
    kind = sniff_bytes(head)
    if kind is None:
        raise InvalidMediaError(f"the file's content is not {_KNOWN}, whatever its name says", field=field)
    missing = _missing_bytes(media, kind, head, size)
    if missing:
        raise InvalidMediaError(f"the file is truncated: {missing} of its bytes are missing", field=field)
    return kind


def sniff_bytes(head: bytes) -> Container | None:
    """Tell a container by the first bytes of a file; None for anything unknown."""
    if head[4:8] in _MP4_BOXES:
        return Container.MP4
    if head[:4] == b"RIFF" or head[:4] == b"RF64":
        return {b"AVI ": Container.AVI, b"WAVE": Container.WAV}.get(head[8:12])
    for magic, kind in (
        (b"\x1aE\xdf\xa3", Container.MATROSKA),
        (b"FLV\x01", Container.FLV),
        (b"fLaC", Container.FLAC),
        (b"OggS", Container.OGG),
        (b"\x89PNG\r\n\x1a\n", Container.PNG),
        (b"\xff\xd8\xff", Container.JPEG),
    ):
        if head.startswith(magic):
            return kind
    return _sniff_audio_frames(head)


def _sniff_audio_frames(head: bytes) -> Container | None:
    """MP3 and raw AAC, which begin with a frame or with an ID3 tag of any length."""
    tagged = head.startswith(b"ID3") and len(head) >= 10
    at = 0
    if tagged:
        size = head[6:10]
        at = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    frame = head[at : at + 2]
    if len(frame) < 2:
        return Container.MP3 if tagged else None
    if frame[0] == 0xFF and frame[1] & 0xF6 == 0xF0:
        return Container.AAC
    if frame[0] == 0xFF and frame[1] & 0xE0 == 0xE0 and frame[1] & 0x06:
        return Container.MP3
    if tagged and head[at : at + 4] == b"fLaC":
        return Container.FLAC
    return Container.MP3 if tagged else None


def _missing_bytes(media: Media, kind: Container, head: bytes, size: int) -> int:
    """How many bytes a file lacks by its own account; 0 where it gives none."""
    if kind in {Container.AVI, Container.WAV} and head[:4] == b"RIFF":
        claimed = int.from_bytes(head[4:8], "little")
        whole = claimed + 8 if 0 < claimed < 0xFFFFFF00 else 0
        return max(0, whole - size - 1)  # some writers count a pad byte that they leave out
    return _missing_mp4_bytes(media, size) if kind is Container.MP4 else 0


def _missing_mp4_bytes(media: Media, size: int) -> int:
    at = 0
    with open_media(media) as file:
        while at + 8 <= size:
            # Of a file that is still coming only what is there is looked at; it is looked at again when it is whole.
            if isinstance(media, GrowingMedia) and not media.has(at, _BOX_BYTES):
                return 0
            file.seek(at)
            box = file.read(_BOX_BYTES)
            length = int.from_bytes(box[:4], "big")
            if length == 1:
                length = int.from_bytes(box[8:16], "big")
            if length == 0:  # to the end of the file
                return 0
            if length < 8:
                return 0  # not a box; the demuxer will say what it thinks of it
            at += length
    return max(0, at - size)


@contextlib.contextmanager
def media_errors(field: str) -> Iterator[None]:
    """Turn what PyAV and Pillow raise on bad files into our own errors."""
    try:
        yield
    except av.error.MemoryError:
        raise MemoryError from None
    except av.error.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidMediaError(f"the file cannot be decoded ({reason})", field=field) from error


def decoder_pixels(limits: MediaLimits) -> int:
    """The most pixels that a decoder may make of a frame: some more than are shown, since codecs work in blocks."""
    return limits.frame_pixels * 9 // 8 + _BLOCKS


@contextlib.contextmanager
def open_container(media: Media, kind: Container, limits: MediaLimits, field: str) -> Iterator[InputContainer]:
    """Open a video or sound file for demuxing.

    Raises:
        InvalidMediaError: it is not what its first bytes say.
    """
    refuse = {"max_pixels": str(decoder_pixels(limits))}
    # Dicts, whatever PyAV's stub says. A demuxer that finds its streams only while it reads takes none for them.
    per_stream: Any = [] if kind in {Container.FLV, Container.AAC, Container.MP3} else [refuse] * _STREAMS
    with contextlib.ExitStack() as stack:
        file = str(media) if isinstance(media, Path) else stack.enter_context(media.open())
        try:
            with media_errors(field):
                container = stack.enter_context(
                    av.open(
                        file,
                        mode="r",
                        format=kind.demuxer,
                        stream_options=per_stream,
                        metadata_errors="replace",
                    )
                )
        except ValueError as error:  # PyAV's word for a demuxer that found no streams to give the options to
            raise InvalidMediaError("the file is damaged: its header names no streams", field=field) from error
        yield container
