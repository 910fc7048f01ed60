"""From a video to the crops of its face, a few seconds at a time; runs in a sandboxed child.

Decoded frames go through the tracker; as soon as a frame's box is settled its crop is cut, and as soon as a segment and
its context are cut it is encoded and sent. What is held is bounded whatever the video's length. The same file and
arguments give the same bytes, so a job that is taken up again may skip what it has.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from edge_gateway.face.crop import CropBox, CropTrack
from edge_gateway.face.detector import FaceDetector
from edge_gateway.face.focus import SoftFocus
from edge_gateway.face.lead import Choice
from edge_gateway.face.look import Looks
from edge_gateway.face.scout import Asked, scout
from edge_gateway.face.segment import CONTEXT_FRAMES, Crop, Segment, Segmenter
from edge_gateway.face.speaker import Hint, Speaker, check_frame
from edge_gateway.face.track import FaceTracker
from edge_gateway.face.view import View
from shared.digest import chunk_digest
from shared.errors import NoFaceError
from shared.face.mesh import FaceMesh
from shared.media.crop import crop_planes
from shared.media.encode import Codec, Coding, ColourTags, encode_video, encoding_of
from shared.media.growing import media_of
from shared.media.limits import MediaLimits
from shared.media.picture import SourceInfo, frame_bytes
from shared.media.planes import Planes
from shared.media.profile import BALANCED
from shared.media.sandbox import Channel
from shared.media.video import FrameReader, SourceFrame

_HELD_BYTES: Final = 192 << 20
"""Decoded frames that wait for their box to settle."""
_PROGRESS_EVERY_S: Final = 0.25
_TIMES_KEPT: Final = 64
_GREY: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOrder:
    """The arguments of :func:`prepare`."""

    path: str
    crop_px: int
    crop_scale: float
    """Side of the crop over the face's height (10 to 152)."""
    limits: dict[str, Any]
    """The fields of :class:`MediaLimits` that differ from its defaults."""
    field: str = "video"
    segment_seconds: float = 2.0
    crop_codec: str = BALANCED.crop.codec
    crop_crf: float = BALANCED.crop.crf
    crop_preset: str = BALANCED.crop.preset
    skip_segments: int = 0
    """Segments from the first that are there already: tracked, since those after depend on it, but not sent."""
    growing_bytes: int = 0
    """The file's size at the end, where it is still being uploaded."""
    speakers: Sequence[dict[str, Any]] = ()
    """Every face of the job that was asked for, as :meth:`Speaker.to_json` says; none for the largest."""
    speaker_fields: Sequence[str] = ()
    """What to name in errors about each."""
    speaker_names: Sequence[str] = ()
    """What each is called."""
    voice: int = 0
    """Which of them this is about."""


def prepare(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: send a video's source description, its crop segments as they are done, and its end.

    Raises:
        InvalidMediaError: the file cannot be decoded.
        LimitExceededError: it is too large or too long.
        NoFaceError: no frame of it shows a face, or not the one that was asked for.
        InvalidInputError: a face was asked for outside the frame, or one face twice.
    """
    order = PrepareOrder(**arguments)
    media = media_of(channel, order.path, order.growing_bytes)
    with FrameReader(media, MediaLimits(**order.limits), order.field) as reader:
        looked = LookedAt()
        cast = _cast(order, reader)
        channel.send(_source_header(reader.source) | {"missed_places": list(cast.missed)})
        tracker = FaceTracker(
            detector=FaceDetector(), mesh=FaceMesh(), choices=cast.choices, others=cast.others, hints=cast.hints
        )
        crops = _crops(_counted(reader, channel), tracker, _Cutter(order, reader.source), looked)
        face_frames = 0
        for segment in _segments(crops, round(order.segment_seconds * 1_000_000)):
            face_frames += sum(crop.box.has_face for crop in segment.own)
            if segment.index >= order.skip_segments:
                payload = _encoded(segment, order, reader.source)
                channel.send(_segment_header(segment, payload), payload)
        if face_frames == 0 and len(order.speakers) < 2:
            raise NoFaceError(f"no face was found in the video; {looked.summary()}", field=order.field)
        channel.send(
            {
                "kind": "end",
                "frames": looked.frames,
                "end_us": reader.end_us,
                "face_frames": face_frames,
                "looked_at_s": looked.times_s,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    """Whose face is followed, and whose certainly is not."""

    choices: Sequence[Choice] = ()
    others: Sequence[Looks] = ()
    hints: Sequence[Hint] = ()
    missed: Sequence[int] = ()


def _cast(order: PrepareOrder, reader: FrameReader) -> _Cast:
    """Find the faces that were asked for, in a pass of its own."""
    asked = [
        Asked(speaker=Speaker.of(told), field=field, name=name)
        for told, field, name in zip(order.speakers, order.speaker_fields, order.speaker_names, strict=True)
    ]
    if not asked:
        return _Cast()
    source = reader.source
    for one in asked:
        check_frame(one.speaker, source.width, source.height, 0, one.field)
    hints = [[place.in_pixels(source.width, source.height) for place in one.speaker.places] for one in asked]
    frames = ((_view(frame.planes, source), frame.time_us) for frame in reader)
    found = scout(frames, asked, hints)
    return _Cast(
        choices=found.choices[order.voice],
        others=[choice.looks for voice, some in enumerate(found.choices) if voice != order.voice for choice in some],
        hints=[hint for some in hints for hint in some],
        missed=found.missed[order.voice],
    )


class LookedAt:
    """Where in a video a face was looked for."""

    def __init__(self) -> None:
        self.frames = 0
        """Frames of the video so far."""
        self.count = 0
        """Frames in which the detector searched."""
        self.times_s: list[float] = []
        """Some of their times, spread over the video."""
        self._last_s = 0.0
        self._stride = 1

    def add(self, time_us: int, *, searched: bool) -> None:
        """Note a frame."""
        self.frames += 1
        if not searched:
            return
        self._last_s = round(time_us / 1_000_000, 3)
        if self.count % self._stride == 0:
            self.times_s.append(self._last_s)
        self.count += 1
        if len(self.times_s) > _TIMES_KEPT:
            self.times_s = self.times_s[::2]
            self._stride *= 2

    def summary(self) -> str:
        """The same in words."""
        if self.count == 1:
            return f"looked at 1 frame at {self._last_s:.1f} s"
        return f"looked at {self.count} frames between {self.times_s[0]:.1f} s and {self._last_s:.1f} s"


class _Cutter:
    """Cuts crops; frames without a face repeat the last one that had it, so that they cost next to nothing."""

    def __init__(self, order: PrepareOrder, source: SourceInfo) -> None:
        self.source = source
        self.track = CropTrack(
            crop_scale=order.crop_scale,
            width=source.width,
            height=source.height,
            held_frames=max(CONTEXT_FRAMES, _HELD_BYTES // frame_bytes(source.width, source.height)),
        )
        self._size = order.crop_px
        self._focus = SoftFocus(crop_px=order.crop_px, crop_scale=order.crop_scale)
        half = (order.crop_px + 1) // 2
        chroma = np.full((half, half), _GREY, np.uint8)
        self._last = Planes(y=np.full((order.crop_px, order.crop_px), _GREY, np.uint8), u=chroma, v=chroma)

    def cut(self, frame: SourceFrame, box: CropBox) -> Crop:
        if box.has_face:
            self._last = self._focus.apply(crop_planes(frame.planes, (box.cx, box.cy, box.side), self._size))
        return Crop(time_us=frame.time_us, box=box, planes=self._last)


def _crops(frames: Iterator[SourceFrame], tracker: FaceTracker, cutter: _Cutter, looked: LookedAt) -> Iterator[Crop]:
    """The crop of every frame, as soon as its box is settled."""
    waiting: deque[SourceFrame] = deque()
    for frame in frames:
        seen = tracker.step(_view(frame.planes, cutter.source), frame.time_us)
        looked.add(frame.time_us, searched=seen.searched)
        waiting.append(frame)
        for box in cutter.track.push(frame.time_us, seen.points, cut=seen.cut, who=seen.who):
            yield cutter.cut(waiting.popleft(), box)
    for box in cutter.track.finish():
        yield cutter.cut(waiting.popleft(), box)


def _segments(crops: Iterator[Crop], length_us: int) -> Iterator[Segment]:
    segmenter = Segmenter(length_us=length_us)
    for crop in crops:
        yield from segmenter.push(crop)
    yield from segmenter.finish()


def _segment_header(segment: Segment, payload: bytes) -> dict[str, Any]:
    own = segment.own
    return {
        "kind": "crop",
        "index": segment.index,
        "first_frame": segment.first_frame,
        "frame_count": len(own),
        "lead": segment.lead,
        "trail": segment.trail,
        "times_us": [crop.time_us for crop in own],
        "boxes": [[crop.box.cx, crop.box.cy, crop.box.side] for crop in own],
        "has_face": [crop.box.has_face for crop in own],
        "who": _who(own),
        "digest": chunk_digest(payload).hex(),
    }


def _who(crops: Sequence[Crop]) -> int:
    """Whose face is in most of the crops; -1 where there is none."""
    count = Counter(crop.box.who for crop in crops if crop.box.has_face)
    return min(count, key=lambda who: (-count[who], who), default=-1)


def _encoded(segment: Segment, order: PrepareOrder, source: SourceInfo) -> bytes:
    begin_us = segment.crops[0].time_us
    coding = Coding(codec=Codec(order.crop_codec), crf=order.crop_crf, preset=order.crop_preset)
    colour = ColourTags.of(source.matrix, full_range=source.full_range)
    encoding = encoding_of(coding, rate=source.rate, colour=colour)
    times_us = [crop.time_us - begin_us for crop in segment.crops]
    return encode_video((crop.planes for crop in segment.crops), times_us, encoding)


def _counted(frames: FrameReader, channel: Channel) -> Iterator[SourceFrame]:
    """The frames, telling the parent now and then how many there were."""
    told_s = time.monotonic()
    for number, frame in enumerate(frames, 1):
        yield frame
        now_s = time.monotonic()
        if now_s - told_s >= _PROGRESS_EVERY_S:
            told_s = now_s
            channel.send({"kind": "progress", "frames": number})


def _view(planes: Planes, source: SourceInfo) -> View:
    return View(y=planes.y, u=planes.u, v=planes.v, matrix=source.matrix, full_range=source.full_range)


def _source_header(source: SourceInfo) -> dict[str, Any]:
    return {
        "kind": "source",
        "width": source.width,
        "height": source.height,
        "matrix": str(source.matrix),
        "full_range": source.full_range,
        "rate": [source.rate.numerator, source.rate.denominator],
        "aspect": [source.aspect.numerator, source.aspect.denominator],
        "colour": asdict(source.colour),
    }
