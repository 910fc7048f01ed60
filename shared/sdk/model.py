"""What the SDK gives its users: values without a trace of protobuf."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

KEEP: Final = "keep"
"""As a background: the video's own sound."""
BACKGROUND_VOLUME: Final = 0.3
LOW_SCORE: Final = 50
"""A sync score below this is warned of."""


class AssetKind(StrEnum):
    """What probing found an asset to be."""

    UNKNOWN = "unknown"
    VIDEO = "video"
    AUDIO = "audio"
    PHOTO = "photo"
    RESULT = "result"


class AssetState(StrEnum):
    """How far an asset has come."""

    UNKNOWN = "unknown"
    UPLOADING = "uploading"
    READY = "ready"


class JobState(StrEnum):
    """Where a job stands."""

    UNKNOWN = "unknown"
    QUEUED = "queued"
    PREPARING = "preparing"
    RENDERING = "rendering"
    FINISHING = "finishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class FitMode(StrEnum):
    """What to do when the speech is longer than the video."""

    TRIM = "trim"
    LOOP = "loop"
    BOUNCE = "bounce"
    HOLD = "hold"


class Stage(StrEnum):
    """A part of the work whose time is measured, in the order in which a frame meets them."""

    UNKNOWN = "unknown"
    UPLOAD = "upload"
    WAIT = "wait"
    PREPARE = "prepare"
    SEND = "send"
    QUEUE = "queue"
    INFER = "infer"
    RETURN = "return"
    COMPOSITE = "composite"
    DOWNLOAD = "download"


class Severity(StrEnum):
    """How grave a notice is."""

    UNKNOWN = "unknown"
    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """What probing found in an asset; sizes are as displayed, 0 or empty where there is no such stream."""

    container: str
    duration_seconds: float
    width: int
    height: int
    frame_rate: float
    video_codec: str
    audio_codec: str
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file that the edge keeps, named by its content."""

    id: str
    size_bytes: int
    name: str
    kind: AssetKind
    state: AssetState
    created: datetime
    media: Media | None
    expires: datetime | None = None
    """When it goes at the earliest: every use puts that off; None where it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """A video or photo that jobs used: whoever takes it again uploads only speech."""

    asset: Asset
    used: datetime
    """When a job last did."""
    jobs: int
    """How many did, those that were deleted counted, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFile:
    """A file that lies at an edge already; ``asset_id`` is empty where it was not added or has changed since."""

    name: str
    size_bytes: int
    modified: datetime
    asset_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A lip-sync engine that can be asked for."""

    name: str
    summary: str
    is_default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The sizes beyond which an edge refuses."""

    asset_bytes: int
    frame_pixels: int
    photo_pixels: int
    duration_seconds: float
    min_speech_seconds: float
    decoded_pixels: int
    manifest_chunks: int
    chunk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an edge can do."""

    version: str
    edge: str
    region: str
    engines: tuple[Engine, ...]
    limits: Limits
    libraries: tuple[str, ...] = ()
    """Folders and buckets whose files are used by name, without an upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailure:
    """Why a job failed; ``limit`` is the name of the setting that was exceeded, empty where none was."""

    reason: str
    field: str
    message: str
    limit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncScore:
    """How well the lips of a result follow the speech.

    ``score`` goes from 0, no better than lips that speak something else, to 100; real people with the sound that they
    were filmed with get 75 and more. ``lag_ms`` is how late the lips are (negative: early), None where they follow too
    little to tell. ``correlation`` and ``amplitude`` (1: the lips move as far as the speech asks) are what it rests on.
    """

    score: int
    lag_ms: int | None
    correlation: float
    amplitude: float

    @property
    def is_low(self) -> bool:
        """Whether the result deserves a look before it is used."""
        return self.score < LOW_SCORE


class Unscored(StrEnum):
    """Why a result has no sync score."""

    UNKNOWN = "unknown"
    TOO_SHORT = "too_short"
    NO_SPEECH = "no_speech"
    NOT_MEASURED = "not_measured"


class UntouchedReason(StrEnum):
    """Why frames passed through untouched."""

    UNKNOWN = "unknown"
    NO_FACE = "no_face"
    HIDDEN = "hidden"
    TURNED_AWAY = "turned_away"
    TOO_SMALL = "too_small"


@dataclass(frozen=True, slots=True, kw_only=True)
class UntouchedStretch:
    """Frames in a row that passed through untouched; times in the result."""

    start_seconds: float
    end_seconds: float
    reason: UntouchedReason


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What a job took, and how good its result is.

    ``stages`` holds for each stage the seconds it was at work; stages overlap, so they add up to more than
    ``total_seconds``. ``upload`` and ``download`` are there where this client measured them.
    """

    job_id: str
    frames: int
    frame_rate: float
    segments: int
    stages: Mapping[Stage, float]
    total_seconds: float
    wan_up_bytes: int
    wan_down_bytes: int
    engine: str
    untouched_frames: int
    link_profile: str = ""
    """What crossed the link between edge and node: ``fast-link``, ``balanced`` or ``thin``."""
    sync: SyncScore | None = None
    unscored: Unscored | None = None
    """Why there is no sync score; None where there is one, or the edge knows of none."""
    untouched: tuple[UntouchedStretch, ...] = ()
    """The stretches that passed through untouched, in order: the longest 100."""
    untouched_left_out: int = 0
    """Stretches beyond those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FacePlace:
    """Where a face is at a time: a box by its top left corner, or a point where ``width`` and ``height`` are 0.

    Numbers are pixels of the displayed frame, or shares of its width and height where none is greater than 1.
    """

    x: float
    y: float
    width: float = 0.0
    height: float = 0.0
    seconds: float = 0.0
    """From the first frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Which face speaks: by its position among others, or by places, each of which holds until the next."""

    position: str = ""
    """``left``, ``right``, ``center`` or ``largest``; empty for places."""
    places: tuple[FacePlace, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A job as the edge last described it."""

    id: str
    state: JobState
    video_asset_id: str
    speech_asset_id: str
    fit: FitMode
    keep_length: bool
    engine: str
    created: datetime
    updated: datetime
    result_asset_id: str
    failure: JobFailure | None
    report: JobReport | None
    last_sequence: int
    background_asset_id: str = ""
    """What is mixed under the speech; empty for nothing, or the video's own sound."""
    keep_sound: bool = False
    """Whether the video's own sound is mixed under the speech."""
    background_volume: float | None = None
    """What its samples are multiplied by; None where nothing is mixed."""
    expires: datetime | None = None
    """When it goes at the earliest, with its events and its result; None where it stays or is not over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What every event has: its job, its number within the job (from 1, without gaps), and when it happened."""

    job_id: str
    sequence: int
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged(Happening):
    """The job moved to another state."""

    state: JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Happening):
    """A stage has come further; ``total_frames`` is 0 while unknown."""

    stage: Stage
    done_frames: int
    total_frames: int
    done_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Happening):
    """Words for a person: what is waited for, what was retried, what was passed through."""

    severity: Severity
    reason: str
    message: str


Event = StateChanged | Progress | Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where anybody may fetch a result.

    Args:
        url: Whoever has it may fetch the result, and nothing else.
        expires: When it ends.
    """

    url: str
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeChange:
    """Of several edges another is used from now on, or what that costs a file.

    Args:
        edge: Where it is.
        left: Where the one was that does not answer; empty for the first choice.
        message: The same in words.
        file: The file of which this tells; empty where it tells of the edge.
        again_bytes: Bytes of the file that the edge that was left had, and this one has not.
    """

    edge: str
    left: str
    message: str
    file: str = ""
    again_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewInit:
    """What a player needs before the first fragment of a preview; ``mime_type`` is for Media Source."""

    mime_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewFragment:
    """A part of a result that can be played: fragmented MP4, pictures and sound of about two seconds."""

    index: int
    start_seconds: float
    end_seconds: float
    data: bytes


PreviewPart = PreviewInit | PreviewFragment


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How far an upload or a download has come.

    Args:
        name: The file.
        done_bytes: Bytes that are safe: verified and on disk at the edge (upload), written here (download).
        size_bytes: The whole file.
        skipped_bytes: Bytes of ``done_bytes`` that need not be moved, as the other side had them already.
        bytes_per_s: The rate of the last seconds; 0 while unknown.
        left_s: Seconds that are left at this rate; None while unknown.
        waiting_for: What a file of a library waits for, in words; empty while bytes move.
        by_other: Whether it is another client that uploads this file now.
    """

    name: str
    done_bytes: int
    size_bytes: int
    skipped_bytes: int = field(default=0)
    bytes_per_s: float = field(default=0.0)
    left_s: float | None = field(default=None)
    waiting_for: str = field(default="")
    by_other: bool = field(default=False)
