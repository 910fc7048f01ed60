"""What a job is: its state machine, its events and its report. Nothing here does any work."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from edge_gateway.assets.stream import is_upload_name
from edge_gateway.face.speaker import Speaker, Voice
from shared.errors import ConflictError, InvalidInputError, LimitExceededError
from shared.media.timeline import FitMode

BACKGROUND_VOLUME: Final = 0.3
"""About 10 dB below what the background is by itself."""
MOST_VOLUME: Final = 2.0
_JOB_ID = re.compile(r"job-[0-9a-f]{20}")
_KEY_LENGTH = 128
_LOW_SCORE = 50
_LONGEST_S = 30 * 86_400
_ENGINE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class JobState(Enum):
    """Where a job stands."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RENDERING = "rendering"
    FINISHING = "finishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return not TRANSITIONS[self]


_ENDS = frozenset({JobState.FAILED, JobState.CANCELLED})

TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = MappingProxyType(
    {
        JobState.QUEUED: frozenset({JobState.PREPARING}) | _ENDS,
        # A job goes back to the queue when the edge was started again.
        JobState.PREPARING: frozenset({JobState.RENDERING, JobState.QUEUED}) | _ENDS,
        JobState.RENDERING: frozenset({JobState.FINISHING, JobState.QUEUED}) | _ENDS,
        JobState.FINISHING: frozenset({JobState.SUCCEEDED, JobState.QUEUED}) | _ENDS,
        JobState.SUCCEEDED: frozenset(),
        JobState.FAILED: frozenset(),
        JobState.CANCELLED: frozenset(),
    }
)
"""Which states may follow which."""

UNFINISHED: Final = tuple(state for state in JobState if TRANSITIONS[state])
"""The states from which a job still goes on."""


class Stage(Enum):
    """A part of the work whose time is measured; the client measures upload and download itself."""

    WAIT = "wait"
    PREPARE = "prepare"
    SEND = "send"
    QUEUE = "queue"
    INFER = "infer"
    RETURN = "return"
    COMPOSITE = "composite"


class Severity(Enum):
    """How grave a notice is."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """What a job is asked to do beyond its two files."""

    fit: FitMode = FitMode.BOUNCE
    keep_length: bool = False
    engine: str = ""
    keep_sound: bool = False
    """Mix the video's own sound under the speech."""
    background_volume: float = BACKGROUND_VOLUME
    """What the samples of the sound under the speech are multiplied by."""
    speaker: Speaker = field(default_factory=Speaker)
    """The face that speaks the job's speech."""
    speaker_name: str = ""
    """What it is called, where others speak, too."""
    voices: tuple[Voice, ...] = ()
    """Further faces that speak."""
    timeout_s: float = 0.0
    """Seconds from its acceptance after which the job fails; 0 for as long as it takes."""
    webhook: str = ""
    """Where its end is told; empty for nowhere."""

    @property
    def places(self) -> int:
        """How many places of faces are named."""
        return len(self.speaker.places) + sum(len(voice.speaker.places) for voice in self.voices)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed."""

    reason: str
    field: str
    message: str
    limit: str = ""
    """The setting that was exceeded, where one was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncScore:
    """How well the rendered lips follow the speech."""

    score: int
    """0 to 100; see :mod:`edge_gateway.sync`."""
    lag_ms: int | None
    """How late the lips are; None where they follow too little to tell."""
    correlation: float
    amplitude: float
    """How far the lips move over how far the speech asks them to."""

    @property
    def is_low(self) -> bool:
        """Whether the result deserves a look."""
        return self.score < _LOW_SCORE


class Unscored(Enum):
    """Why a result has no sync score."""

    TOO_SHORT = "too_short"
    NO_SPEECH = "no_speech"
    NOT_MEASURED = "not_measured"


class UntouchedReason(Enum):
    """Why frames passed through untouched."""

    NO_FACE = "no_face"
    HIDDEN = "hidden"
    TURNED_AWAY = "turned_away"
    TOO_SMALL = "too_small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Frames of the result in a row that passed through untouched."""

    start_us: int
    end_us: int
    reason: UntouchedReason


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What a job took, and how good its result is."""

    frames: int
    frame_rate: float
    segments: int
    stages: Mapping[Stage, float] = field(default_factory=dict)
    """Seconds at work; stages overlap."""
    total_s: float
    up_bytes: int
    down_bytes: int
    engine: str
    untouched_frames: int
    link_profile: str = ""
    """What crossed the link, and how good it was; empty where the job ran before there were profiles."""
    sync: SyncScore | None = None
    unscored: Unscored | None = None
    """Why there is no score; None where the job ran before there were scores."""
    untouched: tuple[Stretch, ...] = ()
    """The longest stretches, in order."""
    untouched_left_out: int = 0
    """Stretches beyond those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of work: one video, one speech, one result."""

    number: int = 0
    """Grows with every job; set by the repository."""
    job_id: str
    state: JobState
    video_asset_id: str
    speech_asset_id: str
    background_asset_id: str = ""
    """What is mixed under the speech; empty for nothing, or the video's own sound."""
    options: JobOptions
    created_us: int
    updated_us: int
    result_asset_id: str = ""
    error: JobError | None = None
    report: JobReport | None = None
    last_sequence: int = 0
    trace: str = ""
    """The ``traceparent`` of the call that submitted it; empty where nobody traces."""
    touched_us: int = field(default=0, compare=False)
    """When its state last changed, by the clock of the edge's running time, in microseconds."""
    expire_us: int | None = field(default=None, compare=False)
    """When it goes, in microseconds since 1970; None where it stays, is not over, or nobody has asked."""

    @property
    def has_background(self) -> bool:
        """Whether anything is mixed under the speech."""
        return self.options.keep_sound or bool(self.background_asset_id)

    @property
    def deadline_us(self) -> int | None:
        """When it fails if it has not ended by then; None for never."""
        return self.created_us + round(self.options.timeout_s * 1e6) if self.options.timeout_s else None

    @property
    def speeches(self) -> tuple[str, ...]:
        """The asset ids of all speeches."""
        return self.speech_asset_id, *(voice.speech for voice in self.options.voices)

    @property
    def assets(self) -> tuple[tuple[str, str], ...]:
        """What it is made of: names of the files and ids."""
        under = (("background", self.background_asset_id),) if self.background_asset_id else ()
        return ("video", self.video_asset_id), *(("speech", speech) for speech in self.speeches), *under

    @property
    def awaited(self) -> tuple[str, ...]:
        """Names of the files that are uploads and not assets yet."""
        return tuple(name for name, asset_id in self.assets if is_upload_name(asset_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """The job moved to another state."""

    state: JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A stage has come further."""

    stage: Stage
    done_frames: int = 0
    total_frames: int = 0
    done_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Words for a person."""

    severity: Severity
    reason: str
    message: str


EventBody = StateChanged | Progress | Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a job; numbers run from 1 without gaps."""

    job_id: str
    sequence: int
    time_us: int
    body: EventBody
    number: int = field(default=0, compare=False)
    """Its place among the events of all jobs, which may have gaps; set by the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A move to another state, with what goes with it."""

    state: JobState
    result_asset_id: str = ""
    error: JobError | None = None
    report: JobReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which jobs a list shows."""

    query: str = ""
    """A part of a file's name, however written, or of the job's id."""
    states: frozenset[JobState] = frozenset()
    """Where they stand; empty for anywhere."""

    @property
    def is_all(self) -> bool:
        """Whether it shows all."""
        return not (self.query or self.states)


ALL_JOBS: Final = Which()
_QUERY_LENGTH: Final = 200


def check_which(which: Which) -> Which:
    """Return what a list is to show if it can be looked for.

    Raises:
        LimitExceededError: the words are too many.
    """
    if len(which.query) > _QUERY_LENGTH:
        message = f"what is looked for has at most {_QUERY_LENGTH} characters"
        raise LimitExceededError(message, field="query", limit="query")
    return which


def check_change(before: JobState, after: JobState) -> None:
    """Refuse a move that the table does not have.

    Raises:
        ConflictError: the table does not have it.
    """
    if after not in TRANSITIONS[before]:
        raise ConflictError(f"a job that is {before.value} cannot become {after.value}", field="job_id")


def check_job_id(job_id: str) -> str:
    """Return the id if it has the shape of one.

    Raises:
        InvalidInputError: it has not.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise InvalidInputError('a job\'s id is "job-" and 20 hexadecimal digits', field="job_id")
    return job_id


def check_key(key: str) -> str:
    """Return an idempotency key if it is not too long.

    Raises:
        LimitExceededError: it is.
    """
    if len(key) > _KEY_LENGTH:
        message = f"an idempotency key has at most {_KEY_LENGTH} characters"
        raise LimitExceededError(message, field="idempotency_key", limit="idempotency_key")
    return key


def check_background(asset_id: str, options: JobOptions) -> None:
    """Refuse a background that contradicts itself.

    Raises:
        InvalidInputError: it does, or its volume is none.
        LimitExceededError: it is too loud.
    """
    if asset_id and options.keep_sound:
        message = "either the video's own sound is kept under the speech or a file is mixed there, not both"
        raise InvalidInputError(message, field="background")
    if not options.background_volume >= 0:
        raise InvalidInputError("a volume is 0 or more", field="options.background_volume")
    if options.background_volume > MOST_VOLUME:
        message = f"a volume is at most {MOST_VOLUME:g}, which is {MOST_VOLUME:g} times as loud as the file"
        raise LimitExceededError(message, field="options.background_volume", limit="background_volume")


def check_timeout(timeout_s: float) -> float:
    """Return the time that a job may take if it is one; 0 stands for any.

    Raises:
        InvalidInputError: it is negative.
        LimitExceededError: it is too long.
    """
    if not timeout_s >= 0:
        raise InvalidInputError("a job's time is more than 0 s", field="timeout")
    if timeout_s > _LONGEST_S:
        message = f"a job's time is at most {_LONGEST_S} s; without one it takes as long as it takes"
        raise LimitExceededError(message, field="timeout", limit="timeout")
    return timeout_s


def check_engine(name: str) -> str:
    """Return an engine's name if it has the shape of one; empty stands for the default.

    Raises:
        InvalidInputError: it has not.
    """
    if name and not _ENGINE.fullmatch(name):
        raise InvalidInputError("this is no engine's name", field="options.engine")
    return name
