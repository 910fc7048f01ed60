"""What clients are told in JSON. The models are also what the OpenAPI document says of it.

Times end in ``_s`` (seconds) or ``_time`` (RFC 3339, UTC), sizes in ``_bytes``; enumerations are the domain's words.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from edge_gateway.assets import asset as assets
from edge_gateway.face import speaker as speakers
from edge_gateway.jobs import job as jobs
from edge_gateway.jobs.cards import JobCard
from shared.errors import VisemeError
from shared.media import probe


class Told(BaseModel):
    """Anything that is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def rfc3339(micros: int) -> str:
    """A point in time, from microseconds since 1970."""
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Problem(Told):
    """Why something was refused."""

    reason: str
    """Stable and machine-readable."""
    message: str
    """What happened and what to do, in words for a person."""
    field: str
    """The input at fault; empty where there is none."""
    limit: str
    """The setting that was exceeded; empty where there is none."""
    retryable: bool
    """Whether the same may succeed later."""

    @classmethod
    def of(cls, error: VisemeError) -> Self:
        """Tell of an error."""
        return cls(
            reason=error.reason,
            message=error.message,
            field=error.field,
            limit=error.limit,
            retryable=error.retryable,
        )


class Refusal(Told):
    """The answer to what was refused."""

    error: Problem


class Media(Told):
    """What probing found in a file."""

    container: str
    duration_s: float
    """0 for a photo."""
    width: int
    """As displayed, in pixels; 0 without pictures."""
    height: int
    """As displayed, in pixels; 0 without pictures."""
    frame_rate: float
    """Mean frames a second; 0 without pictures."""
    video_codec: str
    audio_codec: str
    """Empty without sound."""
    sample_rate: int
    channels: int

    @classmethod
    def of(cls, media: probe.MediaInfo) -> Self:
        """Tell of what probing found."""
        return cls(
            container=media.container,
            duration_s=media.duration_seconds,
            width=media.width,
            height=media.height,
            frame_rate=round(float(media.frame_rate), 6),
            video_codec=media.video_codec,
            audio_codec=media.audio_codec,
            sample_rate=media.sample_rate,
            channels=media.channels,
        )


class Asset(Told):
    """A file that the edge keeps, named by its content."""

    asset_id: str
    display_name: str
    kind: Literal["video", "audio", "photo", "result"] | None
    """None while it is being uploaded."""
    state: Literal["ready", "uploading"]
    size_bytes: int
    create_time: str
    media: Media | None
    """None while it is being uploaded."""
    expire_time: str | None
    """When it goes at the earliest: every use puts that off; None where it stays."""

    @classmethod
    def of(cls, asset: assets.Asset) -> Self:
        """Tell of an asset."""
        return cls(
            asset_id=asset.asset_id,
            display_name=asset.display_name,
            kind=None if asset.kind is None else asset.kind.value,
            state="ready" if asset.ready else "uploading",
            size_bytes=asset.size_bytes,
            create_time=rfc3339(asset.created_us),
            media=None if asset.media is None else Media.of(asset.media),
            expire_time=None if asset.expire_us is None else rfc3339(asset.expire_us),
        )


class Added(Told):
    """A file of a library that has become an asset."""

    asset: Asset


class Assets(Told):
    """A page of assets, newest first."""

    assets: list[Asset]
    next_page_token: str
    """Empty on the last page."""


class Face(Told):
    """A video or photo that jobs used."""

    asset: Asset
    used_time: str
    """When a job used it last."""
    jobs: int
    """How many used it."""


class Faces(Told):
    """A page of faces, the one first that was used last."""

    faces: list[Face]
    next_page_token: str
    """Empty on the last page."""


class Input(Told):
    """One of the files that a job is made of."""

    asset_id: str
    """Begins with ``upload:`` while it is an upload by tus that is not an asset yet."""
    display_name: str
    """Empty where it was deleted."""


class Place(Told):
    """Where a face is at a time: a box by its corner, or a point where width and height are 0."""

    time_s: float
    x: float
    """Pixels of the displayed frame, or shares of it where no number of the place is greater than 1."""
    y: float
    width: float
    height: float


class Speaker(Told):
    """Which face speaks; the largest where there is neither a position nor a place."""

    position: Literal["left", "right", "center", "largest"] | None
    places: list[Place]

    @classmethod
    def of(cls, speaker: speakers.Speaker) -> Self:
        """Tell of a speaker."""
        places = [
            Place(time_s=place.time_us / 1e6, x=place.x, y=place.y, width=place.width, height=place.height)
            for place in speaker.places
        ]
        return cls(position=None if speaker.position is None else speaker.position.value, places=places)


class Voice(Told):
    """A further face that speaks."""

    name: str
    speech: Input
    speaker: Speaker


class Options(Told):
    """What a job is asked to do beyond its files."""

    fit: Literal["trim", "loop", "bounce", "hold"]
    """What happens where the speech is longer than the video."""
    keep_length: bool
    engine: str
    """Empty for the node's default."""
    keep_sound: bool
    background_volume: float
    speaker: Speaker
    speaker_name: str
    voices: list[Voice]

    @classmethod
    def of(cls, options: jobs.JobOptions, names: Mapping[str, str]) -> Self:
        """Tell of options."""
        return cls(
            fit=options.fit.value,
            keep_length=options.keep_length,
            engine=options.engine,
            keep_sound=options.keep_sound,
            background_volume=options.background_volume,
            speaker=Speaker.of(options.speaker),
            speaker_name=options.speaker_name,
            voices=[
                Voice(name=voice.name, speech=_input(voice.speech, names), speaker=Speaker.of(voice.speaker))
                for voice in options.voices
            ],
        )


class JobError(Told):
    """Why a job failed."""

    reason: str
    field: str
    message: str
    limit: str


class SyncScore(Told):
    """How well the lips of the result follow the speech."""

    score: int
    """0 to 100."""
    lag_ms: int | None
    """How late the lips are; None where they follow too little to tell."""
    correlation: float
    amplitude: float


class Wan(Told):
    """Bytes over the link between edge and node."""

    up_bytes: int
    down_bytes: int


class Stretch(Told):
    """Frames in a row that passed through untouched."""

    start_s: float
    end_s: float
    reason: Literal["no_face", "hidden", "turned_away", "too_small"]


class Report(Told):
    """What a job took, and how good its result is."""

    frames: int
    frame_rate: float
    segments: int
    total_s: float
    stages: dict[str, float]
    """Seconds that each stage was at work; stages overlap."""
    wan: Wan
    engine: str
    link_profile: str
    untouched_frames: int
    sync: SyncScore | None
    unscored: Literal["too_short", "no_speech", "not_measured"] | None
    """Why there is no score."""
    untouched: list[Stretch]
    untouched_left_out: int
    """Stretches beyond those."""

    @classmethod
    def of(cls, report: jobs.JobReport) -> Self:
        """Tell of a report."""
        sync = report.sync
        return cls(
            frames=report.frames,
            frame_rate=report.frame_rate,
            segments=report.segments,
            total_s=report.total_s,
            stages={stage.value: seconds for stage, seconds in report.stages.items()},
            wan=Wan(up_bytes=report.up_bytes, down_bytes=report.down_bytes),
            engine=report.engine,
            link_profile=report.link_profile,
            untouched_frames=report.untouched_frames,
            sync=None
            if sync is None
            else SyncScore(
                score=sync.score, lag_ms=sync.lag_ms, correlation=sync.correlation, amplitude=sync.amplitude
            ),
            unscored=None if report.unscored is None else report.unscored.value,
            untouched=[
                Stretch(start_s=stretch.start_us / 1e6, end_s=stretch.end_us / 1e6, reason=stretch.reason.value)
                for stretch in report.untouched
            ],
            untouched_left_out=report.untouched_left_out,
        )


class StageProgress(Told):
    """How far a stage has come."""

    done_frames: int
    total_frames: int
    done_bytes: int


class Job(Told):
    """One piece of work."""

    job_id: str
    state: Literal["queued", "preparing", "rendering", "finishing", "succeeded", "failed", "cancelled"]
    video: Input
    speech: Input
    background: Input | None
    options: Options
    create_time: str
    update_time: str
    result_asset_id: str
    """Empty until it has succeeded."""
    error: JobError | None
    report: Report | None
    last_sequence: int
    """The number of its newest event."""
    progress: dict[str, StageProgress]
    """The newest of each stage; nothing once it is over."""
    expire_time: str | None
    """When it goes at the earliest, with its events and its result; None where it stays, or is not over."""

    @classmethod
    def of(cls, card: JobCard) -> Self:
        """Tell of a job."""
        job, error = card.job, card.job.error
        return cls(
            job_id=job.job_id,
            state=job.state.value,
            video=_input(job.video_asset_id, card.names),
            speech=_input(job.speech_asset_id, card.names),
            background=_input(job.background_asset_id, card.names) if job.background_asset_id else None,
            options=Options.of(job.options, card.names),
            create_time=rfc3339(job.created_us),
            update_time=rfc3339(job.updated_us),
            result_asset_id=job.result_asset_id,
            error=None
            if error is None
            else JobError(reason=error.reason, field=error.field, message=error.message, limit=error.limit),
            report=None if job.report is None else Report.of(job.report),
            last_sequence=job.last_sequence,
            progress={
                stage.value: StageProgress(
                    done_frames=told.done_frames, total_frames=told.total_frames, done_bytes=told.done_bytes
                )
                for stage, told in card.progress.items()
            },
            expire_time=None if job.expire_us is None else rfc3339(job.expire_us),
        )


class Jobs(Told):
    """A page of jobs, newest first."""

    jobs: list[Job]
    next_page_token: str
    """Empty on the last page."""

    @classmethod
    def of(cls, cards: Sequence[JobCard], token: str) -> Self:
        """Tell of a page."""
        return cls(jobs=[Job.of(card) for card in cards], next_page_token=token)


class NotDeleted(Told):
    """A job that could not be deleted."""

    job_id: str
    error: Problem


class Deleted(Told):
    """What became of jobs that were to be deleted."""

    deleted: list[str]
    refused: list[NotDeleted] = Field(default_factory=list)


def _input(asset_id: str, names: Mapping[str, str]) -> Input:
    return Input(asset_id=asset_id, display_name=names.get(asset_id, ""))
