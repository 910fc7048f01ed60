"""Putting painted mouths back into the original frames.

A sandbox task that lives as long as a job: it reads the source once, takes one rendered segment after the other and
answers with the same stretch of the result, encoded by itself. Nothing of a frame outside the mask changes, and no
pixel leaves 4:2:0 on the way. Where the operator demands a label, it is drawn here, so that previews bear it, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from edge_gateway.label.drawing import Stamp
from edge_gateway.label.policy import Label
from shared.errors import InternalError, InvalidMediaError
from shared.media.crop import Mask, paste_planes
from shared.media.growing import media_of
from shared.media.limits import MediaLimits
from shared.media.picture import SourceInfo
from shared.media.planes import Planes
from shared.media.sandbox import Channel, Message
from shared.media.video import Encoding, FrameReader, decode_video, encode_video

CRF = 18.0
"""Quality of the result where the job does not say."""
PRESET = "veryfast"
"""Speed of encoding the result where the job does not say."""

_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeOrder:
    """The arguments of the task."""

    path: str
    growing_bytes: int
    """The file's size at the end, where it is still being uploaded; else 0."""
    field: str
    limits: MediaLimits
    crf: float
    preset: str
    rate: Fraction | None
    """Mean frames a second; None for the source's."""
    label: Label | None
    """What is drawn into the result's first frames."""

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> Self:
        """From JSON values: ``path``; the others may lack."""
        return cls(
            path=arguments["path"],
            growing_bytes=int(arguments.get("growing_bytes", 0)),
            field=str(arguments.get("field", "video")),
            limits=MediaLimits(**arguments.get("limits", {})),
            crf=float(arguments.get("crf", CRF)),
            preset=str(arguments.get("preset", PRESET)),
            rate=_rate(arguments.get("rate")),
            label=Label.of(arguments.get("label")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintedFace:
    """What was painted on one face in each frame of a segment."""

    boxes: Sequence[Sequence[float] | None]
    patch: Sequence[int]
    masks: Sequence[Mask]
    patches: Sequence[Planes]
    """One a frame, or none at all where nothing was painted."""

    @classmethod
    def of(cls, told: dict[str, Any], data: bytes, count: int, limits: MediaLimits) -> Self:
        """From JSON values and the rendered video of so many frames, empty if nothing was painted."""
        patches: Sequence[Planes] = ()
        if data:
            patches = decode_video(data, max_frames=count, max_pixels=limits.frame_pixels)
        return cls(
            boxes=told.get("boxes") or [None] * count,
            patch=[int(value) for value in told.get("patch") or (0, 0, 0, 0)],
            masks=[Mask.of(values) for values in told.get("masks") or ()],
            patches=patches,
        )

    def fits(self, count: int) -> bool:
        """Whether its parts go together for so many frames."""
        painted = not self.patches or (
            len(self.patches) == len(self.masks) == count
            and all([patch.width, patch.height] == list(self.patch[2:]) for patch in self.patches)
        )
        return painted and len(self.boxes) == count

    def put_in(self, planes: Planes, place: int, crop_px: int) -> Planes:
        """A frame of the segment with its painted part."""
        box = self.boxes[place]
        if not self.patches or box is None or not self.masks[place].paints:
            return planes
        mask = self.masks[place]
        return paste_planes(planes, self.patches[place], rect=self.patch, box=box, crop_px=crop_px, mask=mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintedSegment:
    """One stretch of the result: which source frames it shows, when, and what was painted on each."""

    index: int
    source_frames: Sequence[int]
    times_us: Sequence[int]
    """In the result."""
    source_times_us: Sequence[int]
    """Of the source frames, where the sender knows them; they save decoding up to the first."""
    crop_px: int
    faces: Sequence[PaintedFace]

    @classmethod
    def of(cls, message: Message, limits: MediaLimits) -> Self:
        """From a message ``{"kind": "segment", ...}``.

        Its ``faces`` are ``{"boxes", "patch", "masks", "size_bytes"}``; the payload is what was rendered of one after
        the other, so many bytes of each, none if nothing was painted.

        Raises:
            InvalidMediaError: the rendered segment cannot be decoded or does not fit its description.
        """
        header = message.header
        frames = [int(frame) for frame in header["source_frames"]]
        faces, at = [], 0
        for told in header["faces"]:
            size = int(told["size_bytes"])
            faces.append(PaintedFace.of(told, message.payload[at : at + size], len(frames), limits))
            at += size
        segment = cls(
            index=int(header["index"]),
            source_frames=frames,
            times_us=[int(time) for time in header["times_us"]],
            source_times_us=[int(time) for time in header.get("source_times_us", ())],
            crop_px=int(header.get("crop_px") or 0),
            faces=faces,
        )
        segment.check()
        return segment

    def check(self) -> None:
        """Refuse a segment whose parts do not go together.

        Raises:
            InvalidMediaError: it is so.
        """
        count = len(self.source_frames)
        if not count or len(self.times_us) != count or not all(face.fits(count) for face in self.faces):
            found = ", ".join(f"{len(face.patches)} pictures and {len(face.masks)} masks" for face in self.faces)
            raise InvalidMediaError(
                f"rendered segment {self.index} has {found} for {count} frames,"
                " or pictures of another size than it says",
                field="segment",
            )


def composite(channel: Channel, arguments: dict[str, Any]) -> None:
    """Sandbox task: composite segments until the parent sends no more.

    Arguments are those of :meth:`CompositeOrder.of`; messages in are those of :meth:`PaintedSegment.of`, in any order,
    quickest in the order of the result. Each is answered by ``{"kind": "composited", "index", "frames"}`` and an MP4 of
    pictures only: the source's size (made even), colours and times, from 0, one IDR at its start.
    """
    order = CompositeOrder.of(arguments)
    media = media_of(channel, order.path, order.growing_bytes)
    with FrameReader(media, order.limits, order.field) as reader:
        encoding, stamp = _encoding(order, reader.source), _stamp(order.label, reader.source)
        while (message := channel.receive()) is not None:
            if message.header.get("kind") != "segment":
                raise InternalError(f"the compositor was sent {message.header.get('kind')!r}")
            segment = PaintedSegment.of(message, order.limits)
            reader.learn(dict(zip(segment.source_frames, segment.source_times_us, strict=False)))
            start_us = segment.times_us[0]
            times_us = [time_us - start_us for time_us in segment.times_us]
            data = encode_video(blended(reader, segment, stamp), times_us, encoding)
            channel.send({"kind": "composited", "index": segment.index, "frames": len(times_us)}, data)


def blended(reader: FrameReader, segment: PaintedSegment, stamp: Stamp | None = None) -> Iterator[Planes]:
    """The frames of a segment with their painted parts put in, and the label on those that bear it."""
    for place, planes in enumerate(reader.frames(segment.source_frames)):
        shown = planes
        for face in segment.faces:
            shown = face.put_in(shown, place, segment.crop_px)
        if stamp is not None and segment.times_us[place] < stamp.until_us:
            shown = stamp.put_on(shown)
        yield shown


def _encoding(order: CompositeOrder, source: SourceInfo) -> Encoding:
    return Encoding(
        rate=order.rate or source.rate,
        crf=order.crf,
        preset=order.preset,
        colour=source.colour,
        aspect=source.aspect,
        threads=_THREADS,
    )


def _stamp(label: Label | None, source: SourceInfo) -> Stamp | None:
    if label is None:
        return None
    return Stamp(label, source.width, source.height, aspect=source.aspect, full_range=source.full_range)


def _rate(value: object) -> Fraction | None:
    if isinstance(value, (list, tuple)):
        return Fraction(int(value[0]), int(value[1]))
    if isinstance(value, (int, float)) and value > 0:
        return Fraction(value).limit_denominator(100_000)
    return None
