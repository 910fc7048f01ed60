"""The plan of one result: which segments it has, growing while the video's face is still being found."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Sequence
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
        views: The faces that speak, all of one video.
        speech_us: Length of the longest speech.
        options: What was asked.
        segment_s: About how long a segment is.
        crop_scale: Side of the crops over the face's height.
    """

    def __init__(
        self, views: Sequence[FaceView], speech_us: int, options: JobOptions, segment_s: float, *, crop_scale: float
    ) -> None:
        self._views = views
        self._faces = [view.face for view in views]
        self._least_side = LEAST_FACE_PX * crop_scale
        self._source = SourceTimes()
        self._segment_s = segment_s
        self._timeline = Timeline(
            self._source,
            speech_us=speech_us,
            fit=options.fit,
            keep_length=options.keep_length,
            segment_seconds=segment_s,
            is_cut=self._is_cut,
        )
        self._whole = asyncio.Event()
        self._faceless = 0  # output frames without any of the faces, as far as planned
        self.given_frames = 0
        """Output frames of the segments that were given so far; others are planned and wait for references."""

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
        told = 0
        while True:
            self._learn()
            segments = self._timeline.segments
            for segment in segments[told:]:
                self._faceless += sum(
                    not any(face.has_face[source] for face in self._faces) for source in segment.sources
                )
                for view in self._views:
                    if (who := _who(view.face, segment)) is not None:
                        await view.until(partial(_has_references, who))
                self.given_frames += len(segment.frames)
                yield segment
            told = len(segments)
            if self._timeline.complete:
                break
            known = len(self._source)
            for view in self._views:
                await view.until(partial(_knows_more, known))
        if self._faceless == self._timeline.frame_count:
            await self._no_face()
        self._whole.set()

    async def whole(self) -> None:
        """Wait until every segment is planned."""
        await self._whole.wait()

    def order(self, segment: OutputSegment, voice: int = 0) -> SegmentOrder | None:
        """What the node is asked for one of the faces; None when the segment shows nothing of it to be painted."""
        face = self._faces[voice]
        has_face = tuple(fate is Fate.PAINTED for fate in self.fates(segment, voice))
        if not any(has_face):
            return None
        return SegmentOrder(
            segment=segment.index,
            source_frames=segment.sources,
            times_us=tuple(frame.time_us for frame in segment.frames),
            has_face=has_face,
            reference_crops=reference_crops(face, _who(face, segment) or 0) or (),
        )

    @property
    def voices(self) -> int:
        """How many faces speak."""
        return len(self._faces)

    def fates(self, segment: OutputSegment, voice: int = 0) -> tuple[Fate, ...]:
        """In which frames of a segment the node is asked to paint one of the faces, and why not in the others."""
        return tuple(self._fate(self._faces[voice], source) for source in segment.sources)

    def _fate(self, face: Face, source: int) -> Fate:
        if not face.has_face[source]:
            return Fate.NO_FACE
        return Fate.PAINTED if face.box(source)[2] >= self._least_side else Fate.TOO_SMALL

    def _is_cut(self, before: int, after: int) -> bool:
        """Whether another person is painted: one order to the node has the open mouth of one alone."""
        pairs = [(face.crop_of(before).who, face.crop_of(after).who) for face in self._faces]
        return any(one != other and other >= 0 for one, other in pairs)

    def _learn(self) -> None:
        # All tell the same of the video's frames; what is not known of all of them cannot be ordered yet.
        least = min(self._faces, key=lambda face: len(face.times_us))
        for time_us in least.times_us[len(self._source) :]:
            self._source.add(time_us)
        is_known = all(face.end_us is not None for face in self._faces)
        if least.end_us is not None and is_known and self._source.end_us is None:
            self._source.finish(least.end_us)

    async def _no_face(self) -> None:
        # The tracker's own error says where it looked; it comes when the whole video was seen.
        for view in self._views:
            await view.until(lambda face: face.is_complete)
        message = f"no face was found in the first {self.length_us / 1e6:.1f} s of the video, which this speech uses"
        raise NoFaceError(message, field="video")


def _who(face: Face, segment: OutputSegment) -> int | None:
    """The person whom most frames of a segment show; None where there is nobody."""
    count = Counter(face.crop_of(source).who for source in segment.sources if face.has_face[source])
    return min(count, key=lambda who: (-count[who], who), default=None)


def _has_references(who: int, face: Face) -> bool:
    return reference_crops(face, who) is not None


def _knows_more(known: int, face: Face) -> bool:
    return len(face.times_us) > known or face.is_complete
