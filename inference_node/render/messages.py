"""What edge and node say to each other about a job, without the wire."""

from dataclasses import dataclass
from enum import Enum

from shared.media.encode import Coding
from shared.media.planes import Matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a job needs of the node."""

    job_id: str
    engine: str
    crop_px: int
    matrix: Matrix
    full_range: bool
    speech_digest: bytes
    speech_bytes: int
    total_segments: int
    patch: Coding
    """What painted patches are encoded with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechChunk:
    """A piece of the encoded speech."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A crop segment that the edge could send."""

    crop_index: int
    digest: bytes
    size_bytes: int
    first_frame: int
    frame_count: int
    lead_frames: int
    trail_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CropChunk:
    """A piece of a crop segment."""

    crop_index: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A segment to render: for each output frame its source frame, its time in the speech, whether a face is there."""

    segment_index: int
    source_frames: tuple[int, ...]
    times_us: tuple[int, ...]
    has_face: tuple[bool, ...]
    reference_crops: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The edge has this rendered segment on disk."""

    segment_index: int


Message = JobSpec | SpeechChunk | Offer | CropChunk | Order | Ack


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The node took the spec."""

    engine: str
    node: str
    need_speech: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Whether a crop segment must be sent."""

    crop_index: int
    needed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a segment has come."""

    segment_index: int
    done_frames: int
    queue_ahead: int


class Fate(Enum):
    """What became of a frame."""

    PAINTED = "painted"
    NO_FACE = "no_face"
    """The order said that there is none."""
    HIDDEN = "hidden"
    """The landmarks do not lie on a face, or the mouth is covered: painting would only harm."""
    TURNED_AWAY = "turned_away"
    """The head is turned further than an engine can follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lips:
    """The lips of a segment, frame by frame.

    Apertures are the inner lips' mean distance over the face's height; -1 where that is not known.
    """

    seen: tuple[float, ...]
    """In what was painted."""
    asked: tuple[float, ...]
    """What the speech asks for, whatever the engine hears in it."""
    fates: tuple[Fate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What belongs to a whole rendered segment; ``masks`` holds six numbers for each frame (see ``RenderedFrames``)."""

    digest: bytes
    size_bytes: int
    patch: tuple[int, int, int, int]
    masks: tuple[tuple[float, ...], ...]
    lips: Lips
    queue_s: float
    infer_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of a rendered segment; ``complete`` is there on the last alone."""

    segment_index: int
    offset: int
    data: bytes
    complete: Rendered | None


Reply = Accepted | Need | Progress | Piece
