"""Joining the composited segments with the speech into the result, which says in its metadata what it is.

The pictures are copied as they were encoded; only their times change. The sound is encoded from the recording that was
uploaded, at its own rate, and begins with the first frame.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from edge_gateway.speech_track import SOUND_BITRATE, SpeechTrack
from shared.errors import InternalError
from shared.media.encode import TICKS, ticks
from shared.media.limits import MediaLimits
from shared.media.mix import Sound, open_sounds
from shared.media.sandbox import Channel
from shared.provenance.aigc import KEY, Aigc, Generated
from shared.provenance.finding import TAG

_REORDERED = 2
"""Frames that libx264's pictures wait for others at most."""
_OPTIONS = {"movflags": "+faststart", "fflags": "+bitexact", "video_track_timescale": str(TICKS)}
_ID_DIGITS = 32
"""Of a result's id, in hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishOrder:
    """The arguments of the task."""

    segments: Sequence[Path]
    starts_us: Sequence[int]
    speech: Path
    voices: Sequence[Path]
    """Further speeches, heard with it."""
    field: str
    length_us: int
    output: Path
    limits: MediaLimits
    sound_bitrate: int
    tag: str
    """What stands under ``TAG``; nothing does where it is empty."""
    producer: str
    """Who generates, for the metadata AIGC, which there is none of where it is empty."""

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> Self:
        """From JSON values: ``segments``, ``starts_us``, ``speech``, ``length_us``, ``output``; the others may lack."""
        order = cls(
            segments=[Path(path) for path in arguments["segments"]],
            starts_us=[int(start) for start in arguments["starts_us"]],
            speech=Path(arguments["speech"]),
            voices=[Path(path) for path in arguments.get("voices", ())],
            field=str(arguments.get("field", "speech")),
            length_us=int(arguments["length_us"]),
            output=Path(arguments["output"]),
            limits=MediaLimits(**arguments.get("limits", {})),
            sound_bitrate=int(arguments.get("sound_bitrate", SOUND_BITRATE)),
            tag=str(arguments.get("tag", "")),
            producer=str(arguments.get("producer", "")),
        )
        if not order.segments or len(order.segments) != len(order.starts_us):
            raise InternalError("a result needs segments, each with its start")
        return order


def finish(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: write the result.

    Arguments are those of :meth:`FinishOrder.of`. The output is a faststart MP4, on disk when the task answers
    ``{"kind": "finished", "frames", "size_bytes", "produce_id"}``; the same arguments give the same bytes. The speech
    is cut or followed by silence so that it ends with the pictures.
    """
    order = FinishOrder.of(arguments)
    produce_id = _produce_id(order) if order.producer else ""
    with open_sounds([order.speech, *order.voices], order.limits, order.field) as speech:
        frames = _write(order, speech, _metadata(order, produce_id))
    with order.output.open("rb") as file:
        os.fsync(file.fileno())
    size = order.output.stat().st_size
    channel.send({"kind": "finished", "frames": frames, "size_bytes": size, "produce_id": produce_id})


def _produce_id(order: FinishOrder) -> str:
    """What the result is called: by what it consists of, since it cannot bear its own digest."""
    digest = hashlib.sha256(json.dumps([list(order.starts_us), order.length_us, order.tag]).encode())
    for path in (*order.segments, order.speech, *order.voices):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:_ID_DIGITS]


def _metadata(order: FinishOrder, produce_id: str) -> dict[str, str]:
    told = {TAG: order.tag} if order.tag else {}
    if order.producer:
        told[KEY] = Aigc(label=Generated.YES, producer=order.producer, produce_id=produce_id).to_json()
    return told


def _write(order: FinishOrder, speech: Sound, metadata: dict[str, str]) -> int:
    # MP4 has fixed names for its usual tags; names of one's own are written in QuickTime's way ("mdta").
    options = _OPTIONS | ({"movflags": "+faststart+use_metadata_tags"} if metadata else {})
    with av.open(str(order.output), "w", format="mp4", options=options) as out:
        out.metadata.update(metadata)
        pictures, sound = _Pictures(out, order.segments[0]), SpeechTrack(out, speech, order.sound_bitrate)
        ends_us = [*order.starts_us[1:], order.length_us]
        for path, start_us, end_us in zip(order.segments, order.starts_us, ends_us, strict=True):
            pictures.add(path, start_us, end_us)
            for packet in sound.until(end_us):
                out.mux_one(packet)
        for packet in sound.close():
            out.mux_one(packet)
        return pictures.count


class _Pictures:
    """Copies the packets of one segment after the other, giving them times that rise over all of them."""

    def __init__(self, out: OutputContainer, first: Path) -> None:
        self._out = out
        with av.open(str(first), "r", format="mov") as segment:
            source = segment.streams.video[0]
            self._stream = out.add_stream_from_template(source)
            self._extradata = source.codec_context.extradata
        self._stream.time_base = Fraction(1, TICKS)
        self._shown: deque[int] = deque()  # times of showing that are still to become times of decoding
        self.count = 0

    def add(self, path: Path, start_us: int, end_us: int) -> None:
        """Copy a segment that is shown from and until a time."""
        with av.open(str(path), "r", format="mov") as segment:
            source = segment.streams.video[0]
            if source.codec_context.extradata != self._extradata:
                raise InternalError(f"segment {path.name} was encoded otherwise than the first")
            packets = [packet for packet in segment.demux(source) if packet.size]
            first = min(packet.pts for packet in packets if packet.pts is not None)
            start = ticks(start_us) - first
            for packet in packets:
                packet.pts = (packet.pts or 0) + start
            self._time(packets, ticks(end_us))
            self._mux(packets)

    def _time(self, packets: Sequence["Packet[VideoStream]"], end: int) -> None:
        """Give packets in order of decoding their durations and times of decoding."""
        shown = sorted(packet.pts or 0 for packet in packets)
        following = dict(zip(shown, [*shown[1:], end], strict=True))
        if not self.count and not self._shown:
            step = following[shown[0]] - shown[0]
            self._shown.extend(shown[0] - step * (_REORDERED - place) for place in range(_REORDERED))
        self._shown.extend(shown)
        for packet in packets:
            shown_at = packet.pts or 0
            packet.duration = following[shown_at] - shown_at
            packet.dts = self._shown.popleft()
            if packet.dts > shown_at:
                raise InternalError("a segment's pictures wait for more others than expected")

    def _mux(self, packets: Iterable["Packet[VideoStream]"]) -> None:
        for packet in packets:
            packet.stream = self._stream
            packet.time_base = Fraction(1, TICKS)
            self._out.mux_one(packet)
            self.count += 1
