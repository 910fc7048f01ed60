"""The plan of one result: which segments it has, growing while the video's face is still being found."""

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from edge_gateway.jobs.faces import Face, FaceView, reference_crops
from edge_gateway.jobs.job import JobOptions
from edge_gateway.jobs.node import Fate, SegmentOrder
from shared.errors import NoFaceError
from shared.media.probe import MediaInfo
from shared.media.timeline import OutputSegment, SourceTimes, Timeline

LEAST_FACE_PX = 24.0
"""Faces lower than this, in pixels of the source, are not painted: nobody would see the lips."""
_PHOTO_RATE = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a result will be, as far as one can tell before the video was decoded."""

    frames: int
    segments: int


class Plan:
    """The segments of one result.

    Args:
        view: The face.
        speech_us: The speech's length.
        options: What was asked.
        segment_s: About how long a segment is.
        crop_scale: Side of the crops over the face's height.
    """

    def __init__(
        self, view: FaceView, speech_us: int, options: JobOptions, segment_s: float, *, crop_scale: float
    ) -> None:
        self._view = view
        self._least_side = LEAST_FACE_PX * crop_scale
        self._source = SourceTimes()
        self._segment_s = segment_s
        self._timeline = Timeline(
            self._source,
            speech_us=speech_us,
            fit=options.fit,
            keep_length=options.keep_length,
            segment_seconds=segment_s,
        )
        self._whole = asyncio.Event()
        self._faceless = 0  # output frames without a face, as far as planned

    @property
    def frames(self) -> int:
        """Output frames, as far as planned."""
        return self._timeline.frame_count

    @property
    def length_us(self) -> int:
        """Length of the result, as far as planned."""
        return self._timeline.length_us

    @property
    def segment_count(self) -> int:
        """Segments, as far as planned."""
        return len(self._timeline.segments)

    @property
    def planned(self) -> list[OutputSegment]:
        """The segments, as far as planned."""
        return self._timeline.segments

    @property
    def starts_us(self) -> list[int]:
        """Where each segment begins in the result."""
        return [segment.start_us for segment in self._timeline.segments]

    def expected(self, media: MediaInfo | None) -> Expected:
        """Guess from what probing said."""
        duration_us = round(media.duration_seconds * 1e6) if media else 0
        length_s = self._timeline.expected_length_us(duration_us) / 1e6
        frames = max(1, round(length_s * ((media.frame_rate if media else 0) or _PHOTO_RATE)))
        return Expected(frames=frames, segments=max(1, math.ceil(length_s / self._segment_s)))

    async def segments(self) -> AsyncIterator[OutputSegment]:
        """The segments, each as soon as its frames and the reference crops are known.

        Raises:
            NoFaceError: no frame of the result shows a face.
        """
        face = self._view.face
        await self._view.until(lambda face: reference_crops(face) is not None)
        told = 0
        while True:
            self._learn(face)
            segments = self._timeline.segments
            for segment in segments[told:]:
                self._faceless += sum(not face.has_face[source] for source in segment.sources)
                yield segment
            told = len(segments)
            if self._timeline.complete:
                break
            known = len(self._source)
            await self._view.until(partial(_knows_more, known))
        if self._faceless == self._timeline.frame_count:
            await self._no_face()
        self._whole.set()

    async def whole(self) -> None:
        """Wait until every segment is planned."""
        await self._whole.wait()

    def order(self, segment: OutputSegment) -> SegmentOrder | None:
        """What the node is asked for; None when the segment shows no face that could be painted."""
        face = self._view.face
        has_face = tuple(fate is Fate.PAINTED for fate in self.fates(segment))
        if not any(has_face):
            return None
        return SegmentOrder(
            segment=segment.index,
            source_frames=segment.sources,
            times_us=tuple(frame.time_us for frame in segment.frames),
            has_face=has_face,
            reference_crops=reference_crops(face) or (),
        )

    def fates(self, segment: OutputSegment) -> tuple[Fate, ...]:
        """Which frames of a segment the node is asked to paint, and why not the others."""
        return tuple(self._fate(source) for source in segment.sources)

    def _fate(self, source: int) -> Fate:
        face = self._view.face
        if not face.has_face[source]:
            return Fate.NO_FACE
        return Fate.PAINTED if face.box(source)[2] >= self._least_side else Fate.TOO_SMALL

    def _learn(self, face: Face) -> None:
        for time_us in face.times_us[len(self._source) :]:
            self._source.add(time_us)
        if face.end_us is not None and self._source.end_us is None:
            self._source.finish(face.end_us)

    async def _no_face(self) -> None:
        # The tracker's own error says where it looked; it comes when the whole video was seen.
        await self._view.until(lambda face: face.is_complete)
        message = f"no face was found in the first {self.length_us / 1e6:.1f} s of the video, which this speech uses"
        raise NoFaceError(message, field="video")


def _knows_more(known: int, face: Face) -> bool:
    return len(face.times_us) > known or face.is_complete
