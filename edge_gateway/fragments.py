"""Cutting a preview: what a player needs to show a result while it is made, one fragment a segment.

Nothing is copied: a fragment is a head, the places where its pictures lie in a file that is there, and what is not
there yet. A fragment of a running job (:func:`cut_live`) and the same one of its result (:func:`cut_result`) are the
same bytes, so whoever watches may go on from the one to the other.
"""

import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import av
from av.container import InputContainer
from av.packet import Packet

from edge_gateway.boxes import PictureFormat, Run, Sample, SoundFormat, fragment_head, init_segment, mime_type
from edge_gateway.fragment import Fragment
from edge_gateway.speech_track import SOUND_BITRATE, SpeechTrack
from shared.errors import InternalError
from shared.media.encode import TICKS, ticks
from shared.media.limits import MediaLimits
from shared.media.mix import open_sounds
from shared.media.sandbox import Channel

_LEAD = 1024
"""Samples that the encoder puts before the sound; also those of a packet."""
_HEARD = 3 * _LEAD + 16
"""Samples from a packet's beginning that must be known before it is encoded: it overlaps the next, and the encoder
looks one ahead. A packet goes with the first fragment whose end is so far on."""
_REORDERED = 2
"""Frames that libx264's pictures wait for others at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A packet of pictures; times in ticks of the result."""

    at: int
    size: int
    place: int
    """Where its bytes lie in its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """A packet of sound; times in samples of the result."""

    at: int
    duration: int
    size: int
    place: int = 0
    """Where its bytes lie in the result."""
    data: bytes = b""
    """Or the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOrder:
    """The arguments of :func:`cut_live`."""

    speech: Path
    voices: Sequence[Path]
    """Further speeches, heard with it."""
    field: str
    limits: MediaLimits
    sound_bitrate: int

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> Self:
        """From JSON values: ``speech``; the others may lack."""
        return cls(
            speech=Path(arguments["speech"]),
            voices=[Path(path) for path in arguments.get("voices", ())],
            field=str(arguments.get("field", "speech")),
            limits=MediaLimits(**arguments.get("limits", {})),
            sound_bitrate=int(arguments.get("sound_bitrate", SOUND_BITRATE)),
        )


def cut_live(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: make fragments out of composited segments, in order from the first, as they come.

    Arguments are those of :meth:`LiveOrder.of`. A message in is ``{"path", "start_us", "end_us", "is_last", "skip"}``.
    The first is answered by ``{"kind": "init", "mime_type"}`` with the init segment, then each by
    ``{"kind": "fragment"}`` with a :class:`Fragment` whose extents lie in ``path``; one with ``skip`` by nothing.
    """
    order = LiveOrder.of(arguments)
    paths = [order.speech, *order.voices]
    with (
        open_sounds(paths, order.limits, order.field) as speech,
        av.open(io.BytesIO(), "w", format="mp4") as out,
    ):
        sound = SpeechTrack(out, speech, order.sound_bitrate)
        waiting, strip, config = _Waiting(sound.rate), _Strip(), b""
        while (message := channel.receive()) is not None:
            header = message.header
            path, end_us, is_last = Path(header["path"]), int(header["end_us"]), bool(header["is_last"])
            waiting.add(_encoded(sound, end_us, is_last=is_last))
            heard = waiting.take(ticks(end_us), is_last=is_last)
            with av.open(str(path), "r", format="mov") as segment:
                shown = list(_shown(segment, ticks(int(header["start_us"]))))
                pictures = _picture_format(segment, shown, heard.end)
            if not config:
                config = pictures.config
                format_ = SoundFormat(rate=sound.rate, channels=sound.channels, lead=_LEAD, config=sound.config)
                channel.send({"kind": "init", "mime_type": mime_type(pictures)}, init_segment(pictures, format_))
            if pictures.config != config:
                raise InternalError(f"segment {path.name} was encoded otherwise than the first")
            fragment = strip.add(shown, heard)
            if not header["skip"]:
                channel.send({"kind": "fragment"}, fragment.to_bytes())


def cut_result(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: find the fragments of a result that viseme made.

    Arguments: ``path``, and ``output``, which will hold the :class:`Fragment` records; their extents lie in ``path``.
    Sends one message, ``{"mime_type", "record_bytes": [...]}`` with the init segment.
    """
    with av.open(str(arguments["path"]), "r", format="mov") as media:
        track = media.streams.audio[0].codec_context
        sound = SoundFormat(rate=track.sample_rate, channels=track.channels, lead=_LEAD, config=track.extradata or b"")
        found = _found(media, sound.rate)
        pictures = _picture_format(media, found[0][0], found[0][1].end)
    strip, sizes = _Strip(), []
    with Path(arguments["output"]).open("wb") as output:
        for shown, heard in found:
            record = strip.add(shown, heard).to_bytes()
            output.write(record)
            sizes.append(len(record))
    channel.send({"mime_type": mime_type(pictures), "record_bytes": sizes}, init_segment(pictures, sound))


def _picture_format(container: InputContainer, shown: Sequence[_Shown], end: int) -> PictureFormat:
    """What the pictures are; the lead is that of a film which begins with those given and which end then."""
    stream = container.streams.video[0]
    context, aspect = stream.codec_context, stream.sample_aspect_ratio
    if stream.time_base is None or stream.time_base * TICKS != 1:
        raise InternalError("pictures of a result have other times than viseme gives them")
    return PictureFormat(
        width=context.width,
        height=context.height,
        aspect=(aspect.numerator, aspect.denominator) if aspect else (1, 1),
        scale=TICKS,
        lead=_lead(sorted(one.at for one in shown), end),
        config=context.extradata or b"",
    )


def _encoded(sound: SpeechTrack, end_us: int, *, is_last: bool) -> Iterator[_Heard]:
    packets = list(sound.until(end_us))
    if is_last:
        packets += sound.close()
    for packet in packets:
        scale = (packet.time_base or 0) * sound.rate
        yield _Heard(
            at=round((packet.pts or 0) * scale),
            duration=round((packet.duration or 0) * scale),
            size=packet.size,
            data=bytes(packet),
        )


def _shown(segment: InputContainer, start: int) -> Iterator[_Shown]:
    """The packets of a segment that is shown from a time on."""
    packets = [packet for packet in segment.demux(segment.streams.video[0]) if packet.size]
    first = min(packet.pts or 0 for packet in packets)
    for packet in packets:
        yield _picture(packet, start - first)


def _picture(packet: "Packet[Any]", later: int = 0) -> _Shown:
    if packet.pts is None or packet.pos is None:
        raise InternalError("a picture of a result has no time or no place")
    return _Shown(at=packet.pts + later, size=packet.size, place=packet.pos)


class _Waiting:
    """Packets of sound that belong to no fragment yet.

    Args:
        rate: Samples a second.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._packets: deque[_Heard] = deque()

    def add(self, packets: Iterable[_Heard]) -> None:
        """Packets that follow those that came before."""
        self._packets.extend(packets)

    def take(self, end: int, *, is_last: bool) -> "_Sound":
        """Those of the fragment that ends at a time, in ticks."""
        taken = []
        while self._packets and (is_last or (self._packets[0].at + _HEARD) * TICKS <= end * self._rate):
            taken.append(self._packets.popleft())
        if is_last and taken:
            # The pictures end with the sound: of a file that is read back nothing tells it more exactly.
            end = round((taken[-1].at + taken[-1].duration) * TICKS / self._rate)
        return _Sound(packets=taken, end=end)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sound:
    """The sound of a fragment, and when the fragment ends, in ticks."""

    packets: Sequence[_Heard]
    end: int


class _Strip:
    """Puts fragments together, in order from the first.

    Pictures are decoded at the times at which those two before them are shown, as in the result.
    """

    def __init__(self) -> None:
        self._count = 0
        self._decoded: deque[int] = deque()  # times of showing that are still to become times of decoding
        self._lead = 0

    def add(self, shown: Sequence[_Shown], sound: _Sound) -> Fragment:
        """The next one."""
        starts = sorted(one.at for one in shown)
        if not self._count:
            self._lead = _lead(starts, sound.end)
            step = self._lead // _REORDERED
            self._decoded.extend(starts[0] - step * (_REORDERED - place) for place in range(_REORDERED))
        self._decoded.extend(starts)
        pictures = []
        first = self._decoded[0]
        for one in shown:
            decoded = self._decoded.popleft()
            if decoded > one.at:
                raise InternalError("a segment's pictures wait for more others than expected")
            pictures.append(Sample(size=one.size, duration=self._decoded[0] - decoded, shift=one.at - decoded))
        heard = [Sample(size=one.size, duration=one.duration) for one in sound.packets]
        self._count += 1
        head = fragment_head(
            self._count,
            Run(start=first + self._lead, samples=pictures),
            Run(start=sound.packets[0].at + _LEAD if heard else 0, samples=heard),
        )
        packets: list[_Shown | _Heard] = [*shown, *sound.packets]
        return Fragment(
            start_us=_microseconds(starts[0]),
            end_us=_microseconds(sound.end),
            head=head,
            extents=_joined((one.place, one.size) for one in packets if one.place),
            tail=b"".join(one.data for one in sound.packets),
        )


def _lead(starts: Sequence[int], end: int) -> int:
    """How long before a film's first picture is shown it is decoded, in ticks.

    Args:
        starts: When the pictures of the first segment are shown.
        end: When the last of them ends.
    """
    return _REORDERED * ([*starts, end][1] - starts[0])


def _joined(extents: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for place, size in extents:
        if joined and sum(joined[-1]) == place:
            joined[-1] = (joined[-1][0], joined[-1][1] + size)
        else:
            joined.append((place, size))
    return tuple(joined)


def _found(media: InputContainer, rate: int) -> "list[tuple[list[_Shown], _Sound]]":
    """What the fragments of a result consist of: a key frame begins each."""
    groups: list[list[_Shown]] = []
    waiting = _Waiting(rate)
    for packet in media.demux():
        if not packet.size:
            continue
        if packet.stream.type == "video":
            if packet.is_keyframe:
                groups.append([])
            groups[-1].append(_picture(packet))
        elif packet.pts is not None and packet.pos is not None:
            duration = packet.duration or 0
            waiting.add([_Heard(at=packet.pts, duration=duration, size=packet.size, place=packet.pos)])
    ends = [*(group[0].at for group in groups[1:]), 0]
    heard = (waiting.take(end, is_last=index + 1 == len(groups)) for index, end in enumerate(ends))
    return list(zip(groups, heard, strict=True))


def _microseconds(time: int) -> int:
    return round(time * 1_000_000 / TICKS)
