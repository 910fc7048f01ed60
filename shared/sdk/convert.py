"""From the wire to the SDK's values."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from shared import errors
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2
from shared.sdk import model

E = TypeVar("E", bound=StrEnum)


def enum_from(kind: type[E], name: Callable[[Any], str], prefix: str, value: int, unknown: E) -> E:
    """Read an enum; a value that a newer edge knows alone is ``unknown``."""
    try:
        return kind(name(value).removeprefix(prefix).lower())
    except ValueError:
        return unknown


def time_from(stamp: Timestamp) -> datetime:
    """Read a time, in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)


def asset_from(asset: asset_pb2.Asset) -> model.Asset:
    """Read an asset."""
    return model.Asset(
        id=asset.asset_id,
        size_bytes=asset.size_bytes,
        name=asset.display_name,
        kind=enum_from(model.AssetKind, asset_pb2.AssetKind.Name, "ASSET_KIND_", asset.kind, model.AssetKind.UNKNOWN),
        state=enum_from(
            model.AssetState, asset_pb2.AssetState.Name, "ASSET_STATE_", asset.state, model.AssetState.UNKNOWN
        ),
        created=time_from(asset.create_time),
        media=_media_from(asset.media) if asset.HasField("media") else None,
        expires=time_from(asset.expire_time) if asset.HasField("expire_time") else None,
    )


def library_file_from(file: asset_pb2.LibraryFile) -> model.LibraryFile:
    """Read a file of a library."""
    return model.LibraryFile(
        name=file.name,
        size_bytes=file.size_bytes,
        modified=time_from(file.modify_time),
        asset_id=file.asset_id,
    )


def chunks_from(ranges: Iterable[asset_pb2.ChunkRange], count: int) -> list[int]:
    """Read runs of chunks, in their order; none from ``count`` on."""
    return [index for run in ranges for index in range(run.first, min(count, run.first + run.count))]


def _media_from(media: asset_pb2.MediaInfo) -> model.Media:
    return model.Media(
        container=media.container,
        duration_seconds=media.duration_seconds,
        width=media.width,
        height=media.height,
        frame_rate=media.frame_rate,
        video_codec=media.video_codec,
        audio_codec=media.audio_codec,
        sample_rate=media.sample_rate,
        channels=media.channels,
    )


def capabilities_from(answer: asset_pb2.GetCapabilitiesResponse) -> model.Capabilities:
    """Read what an edge can do."""
    limits = answer.limits
    return model.Capabilities(
        version=answer.version,
        edge=answer.edge,
        region=answer.region,
        engines=tuple(
            model.Engine(name=engine.name, summary=engine.summary, is_default=engine.is_default)
            for engine in answer.engines
        ),
        libraries=tuple(answer.libraries),
        limits=model.Limits(
            asset_bytes=limits.asset_bytes,
            frame_pixels=limits.frame_pixels,
            photo_pixels=limits.photo_pixels,
            duration_seconds=limits.duration_seconds,
            min_speech_seconds=limits.min_speech_seconds,
            decoded_pixels=limits.decoded_pixels,
            manifest_chunks=limits.manifest_chunks,
            chunk_bytes=limits.chunk_bytes,
        ),
    )


def job_from(job: job_pb2.Job) -> model.JobStatus:
    """Read a job."""
    failed = job.HasField("error")
    return model.JobStatus(
        id=job.job_id,
        state=_state_from(job.state),
        video_asset_id=job.video_asset_id,
        speech_asset_id=job.speech_asset_id,
        fit=enum_from(model.FitMode, job_pb2.FitMode.Name, "FIT_MODE_", job.options.fit, model.FitMode.BOUNCE),
        keep_length=job.options.keep_length,
        engine=job.options.engine,
        created=time_from(job.create_time),
        updated=time_from(job.update_time),
        result_asset_id=job.result_asset_id,
        failure=model.JobFailure(
            reason=job.error.reason, field=job.error.field, message=job.error.message, limit=job.error.limit
        )
        if failed
        else None,
        report=_report_from(job) if job.HasField("report") else None,
        last_sequence=job.last_sequence,
        background_asset_id=job.background_asset_id,
        expires=time_from(job.expire_time) if job.HasField("expire_time") else None,
        keep_sound=job.options.keep_sound,
        background_volume=round(job.options.background_volume, 6)
        if job.options.HasField("background_volume")
        else None,
    )


def _report_from(job: job_pb2.Job) -> model.JobReport:
    report = job.report
    return model.JobReport(
        job_id=job.job_id,
        frames=report.frames,
        frame_rate=report.frame_rate,
        segments=report.segments,
        stages={_stage_from(part.stage): part.busy.ToNanoseconds() / 1e9 for part in report.stages},
        total_seconds=report.total.ToNanoseconds() / 1e9,
        wan_up_bytes=report.wan.up_bytes,
        wan_down_bytes=report.wan.down_bytes,
        engine=report.engine,
        untouched_frames=report.untouched_frames,
        link_profile=report.link_profile,
        sync=_sync_from(report.sync) if report.HasField("sync") else None,
        unscored=_unscored_from(report.unscored),
        untouched=tuple(map(_stretch_from, report.untouched)),
        untouched_left_out=report.untouched_left_out,
    )


def _sync_from(sync: job_pb2.SyncScore) -> model.SyncScore:
    return model.SyncScore(
        score=sync.score,
        lag_ms=sync.lag_ms if sync.HasField("lag_ms") else None,
        correlation=round(sync.correlation, 3),
        amplitude=round(sync.amplitude, 3),
    )


def _unscored_from(value: int) -> model.Unscored | None:
    if value == job_pb2.UNSCORED_UNSPECIFIED:
        return None
    return enum_from(model.Unscored, job_pb2.Unscored.Name, "UNSCORED_", value, model.Unscored.UNKNOWN)


def _stretch_from(stretch: job_pb2.UntouchedStretch) -> model.UntouchedStretch:
    return model.UntouchedStretch(
        start_seconds=stretch.start.ToNanoseconds() / 1e9,
        end_seconds=stretch.end.ToNanoseconds() / 1e9,
        reason=enum_from(
            model.UntouchedReason,
            job_pb2.UntouchedReason.Name,
            "UNTOUCHED_REASON_",
            stretch.reason,
            model.UntouchedReason.UNKNOWN,
        ),
    )


def _state_from(value: int) -> model.JobState:
    return enum_from(model.JobState, job_pb2.JobState.Name, "JOB_STATE_", value, model.JobState.UNKNOWN)


def _stage_from(value: int) -> model.Stage:
    return enum_from(model.Stage, job_pb2.Stage.Name, "STAGE_", value, model.Stage.UNKNOWN)


def event_from(event: job_pb2.Event) -> model.Event | None:
    """Read an event; None for a kind that a newer edge knows alone."""
    time = time_from(event.time)
    kind = event.WhichOneof("body")
    if kind == "state_changed":
        return model.StateChanged(
            job_id=event.job_id, sequence=event.sequence, time=time, state=_state_from(event.state_changed.state)
        )
    if kind == "progress":
        return model.Progress(
            job_id=event.job_id,
            sequence=event.sequence,
            time=time,
            stage=_stage_from(event.progress.stage),
            done_frames=event.progress.done_frames,
            total_frames=event.progress.total_frames,
            done_bytes=event.progress.done_bytes,
        )
    if kind == "notice":
        return model.Notice(
            job_id=event.job_id,
            sequence=event.sequence,
            time=time,
            severity=enum_from(
                model.Severity, job_pb2.Severity.Name, "SEVERITY_", event.notice.severity, model.Severity.UNKNOWN
            ),
            reason=event.notice.reason,
            message=event.notice.message,
        )
    return None


def error_from(error: job_pb2.JobError) -> errors.VisemeError:
    """Read an error that came inside a message rather than as a status."""
    return errors.by_reason(error.reason)(error.message, field=error.field, limit=error.limit)
