"""The boxes of fragmented MP4 (ISO/IEC 14496-12, -14, -15), written by hand.

libav's muxer keeps a fragment back until the next one begins, and cannot begin in the middle; here every fragment is
made by itself, and is the same bytes whoever makes it. Both tracks begin before the film does, by what decoders need;
edit lists cut that off (offsets below 0, the other way to say it, libav reads as a delay).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_MOVIE_SCALE = 1000
_PICTURES, _SOUND = 1, 2
_SYNC, _NOT_SYNC = 0x02000000, 0x01010000
_BASE_IS_MOOF, _HAS_FLAGS = 0x020000, 0x20
_OFFSET, _FIRST_FLAGS, _DURATION, _SIZE, _SHIFT = 0x1, 0x4, 0x100, 0x200, 0x800
_LANGUAGE = 0x55C4  # und
_NOBODY = b"\0" * 6 + b"\0\1"  # reserved, and the only data reference


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFormat:
    """H.264 pictures."""

    width: int
    height: int
    aspect: tuple[int, int]
    """Width of a pixel and its height."""
    scale: int
    """Ticks a second."""
    lead: int
    """Ticks from the first picture's decoding to its showing."""
    config: bytes
    """The AVCDecoderConfigurationRecord."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFormat:
    """AAC-LC sound; times are in samples."""

    rate: int
    channels: int
    lead: int
    """Samples that a decoder gives before the sound begins."""
    config: bytes
    """The AudioSpecificConfig."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One packet in a fragment."""

    size: int
    duration: int
    shift: int = 0
    """From its time of decoding to that of showing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The packets of one track in a fragment."""

    start: int
    """When the first is decoded, counted from the track's beginning, not the film's."""
    samples: Sequence[Sample]

    @property
    def size_bytes(self) -> int:
        """Bytes of the packets."""
        return sum(sample.size for sample in self.samples)


def mime_type(pictures: PictureFormat) -> str:
    """What Media Source wants to know."""
    return f'video/mp4; codecs="avc1.{pictures.config[1:4].hex()}, mp4a.40.2"'


def init_segment(pictures: PictureFormat, sound: SoundFormat) -> bytes:
    """What a player needs before the first fragment."""
    brands = _box("ftyp", b"iso6", struct.pack(">I", 1), b"iso6", b"mp41")
    header = struct.pack(">5IH10x36s24xI", 0, 0, _MOVIE_SCALE, 0, 0x10000, 0x100, _MATRIX, _SOUND + 1)
    extends = [_full("trex", 0, 0, struct.pack(">5I", track, 1, 0, 0, 0)) for track in (_PICTURES, _SOUND)]
    return brands + _box(
        "moov", _full("mvhd", 0, 0, header), _picture_track(pictures), _sound_track(sound), _box("mvex", *extends)
    )


def fragment_head(number: int, pictures: Run, sound: Run) -> bytes:
    """Everything of a fragment but its packets, which follow: those of the pictures, then those of the sound.

    Args:
        number: From 1.
        pictures: At least one, the first a key frame.
        sound: May be empty.
    """
    lengths = len(_moof(number, pictures, sound, 0))
    size = pictures.size_bytes + sound.size_bytes
    moof = _moof(number, pictures, sound, lengths + 8)
    return moof + struct.pack(">I4s", size + 8, b"mdat")


def _moof(number: int, pictures: Run, sound: Run, data_at: int) -> bytes:
    flags = _OFFSET | _FIRST_FLAGS | _DURATION | _SIZE | _SHIFT
    shown = b"".join(struct.pack(">III", one.duration, one.size, one.shift) for one in pictures.samples)
    count = struct.pack(">IiI", len(pictures.samples), data_at, _SYNC)
    tracks = [_traf(_PICTURES, _NOT_SYNC, pictures.start, _full("trun", 0, flags, count, shown))]
    if sound.samples:
        flags = _OFFSET | _DURATION | _SIZE
        heard = b"".join(struct.pack(">II", one.duration, one.size) for one in sound.samples)
        count = struct.pack(">Ii", len(sound.samples), data_at + pictures.size_bytes)
        tracks.append(_traf(_SOUND, _SYNC, sound.start, _full("trun", 0, flags, count, heard)))
    return _box("moof", _full("mfhd", 0, 0, struct.pack(">I", number)), *tracks)


def _traf(track: int, flags: int, start: int, run: bytes) -> bytes:
    header = _full("tfhd", 0, _BASE_IS_MOOF | _HAS_FLAGS, struct.pack(">II", track, flags))
    return _box("traf", header, _full("tfdt", 1, 0, struct.pack(">Q", start)), run)


def _picture_track(pictures: PictureFormat) -> bytes:
    width, height = pictures.width, pictures.height
    across, down = pictures.aspect
    entry = _box(
        "avc1",
        _NOBODY,
        struct.pack(">16x2H2I4xH32x2H", width, height, 0x480000, 0x480000, 1, 24, 0xFFFF),
        _box("avcC", pictures.config),
        _box("pasp", struct.pack(">II", across, down)),
    )
    header = _track_header(_PICTURES, 0, round(width * across / down), height)
    media = _media(pictures.scale, "vide", _full("vmhd", 0, 1, b"\0" * 8), entry)
    return _box("trak", header, _edit(pictures.lead), media)


def _sound_track(sound: SoundFormat) -> bytes:
    entry = _box(
        "mp4a",
        _NOBODY,
        struct.pack(">8x2H4xI", sound.channels, 16, sound.rate << 16),
        _full("esds", 0, 0, _elementary_stream(sound.config)),
    )
    media = _media(sound.rate, "soun", _full("smhd", 0, 0, b"\0" * 4), entry)
    return _box("trak", _track_header(_SOUND, 0x100, 0, 0), _edit(sound.lead), media)


def _edit(lead: int) -> bytes:
    return _box("edts", _full("elst", 0, 0, struct.pack(">IIiI", 1, 0, lead, 0x10000)))


def _elementary_stream(config: bytes) -> bytes:
    specific = _descriptor(5, config)
    decoder = _descriptor(4, struct.pack(">BB3x2I", 0x40, 0x15, 0, 0) + specific)
    return _descriptor(3, b"\0\0\0" + decoder + _descriptor(6, b"\2"))


def _descriptor(tag: int, data: bytes) -> bytes:
    return bytes((tag, len(data))) + data  # all of ours are shorter than 128 bytes


def _track_header(track: int, volume: int, width: int, height: int) -> bytes:
    content = struct.pack(">5I8x4H36s2I", 0, 0, track, 0, 0, 0, 0, volume, 0, _MATRIX, width << 16, height << 16)
    return _full("tkhd", 0, 3, content)


def _media(scale: int, handler: str, header: bytes, entry: bytes) -> bytes:
    place = _box("dinf", _full("dref", 0, 0, struct.pack(">I", 1), _full("url ", 0, 1)))
    empty = [_full(name, 0, 0, b"\0" * size) for name, size in (("stts", 4), ("stsc", 4), ("stsz", 8), ("stco", 4))]
    table = _box("stbl", _full("stsd", 0, 0, struct.pack(">I", 1), entry), *empty)
    return _box(
        "mdia",
        _full("mdhd", 0, 0, struct.pack(">4I2H", 0, 0, scale, 0, _LANGUAGE, 0)),
        _full("hdlr", 0, 0, struct.pack(">I4s12x", 0, handler.encode()), b"viseme\0"),
        _box("minf", header, place, table),
    )


def _full(name: str, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags), *parts)


def _box(name: str, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", len(content) + 8, name.encode()) + content
