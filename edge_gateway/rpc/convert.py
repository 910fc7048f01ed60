"""Between the public protos and the edge's own words."""

from collections.abc import AsyncIterator
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from edge_gateway.assets import asset as assets
from edge_gateway.assets.pace import Pace
from edge_gateway.jobs import job as jobs
from edge_gateway.jobs import preview as previews
from edge_gateway.library.bring import BringProgress
from edge_gateway.library.service import LibraryFile
from edge_gateway.rpc import speakers
from shared.errors import InvalidInputError, VisemeError
from shared.media.limits import MediaLimits
from shared.media.timeline import FitMode
from shared.pb.viseme.gateway.v1 import asset_pb2, job_pb2

_KINDS: Final = {
    assets.AssetKind.VIDEO: asset_pb2.ASSET_KIND_VIDEO,
    assets.AssetKind.AUDIO: asset_pb2.ASSET_KIND_AUDIO,
    assets.AssetKind.PHOTO: asset_pb2.ASSET_KIND_PHOTO,
    assets.AssetKind.RESULT: asset_pb2.ASSET_KIND_RESULT,
}
_STATES: Final = {
    jobs.JobState.QUEUED: job_pb2.JOB_STATE_QUEUED,
    jobs.JobState.PREPARING: job_pb2.JOB_STATE_PREPARING,
    jobs.JobState.RENDERING: job_pb2.JOB_STATE_RENDERING,
    jobs.JobState.FINISHING: job_pb2.JOB_STATE_FINISHING,
    jobs.JobState.SUCCEEDED: job_pb2.JOB_STATE_SUCCEEDED,
    jobs.JobState.FAILED: job_pb2.JOB_STATE_FAILED,
    jobs.JobState.CANCELLED: job_pb2.JOB_STATE_CANCELLED,
}
_STAGES: Final = {
    jobs.Stage.WAIT: job_pb2.STAGE_WAIT,
    jobs.Stage.PREPARE: job_pb2.STAGE_PREPARE,
    jobs.Stage.SEND: job_pb2.STAGE_SEND,
    jobs.Stage.QUEUE: job_pb2.STAGE_QUEUE,
    jobs.Stage.INFER: job_pb2.STAGE_INFER,
    jobs.Stage.RETURN: job_pb2.STAGE_RETURN,
    jobs.Stage.COMPOSITE: job_pb2.STAGE_COMPOSITE,
}
_SEVERITIES: Final = {
    jobs.Severity.INFO: job_pb2.SEVERITY_INFO,
    jobs.Severity.WARNING: job_pb2.SEVERITY_WARNING,
}
_UNSCORED: Final = {
    None: job_pb2.UNSCORED_UNSPECIFIED,
    jobs.Unscored.TOO_SHORT: job_pb2.UNSCORED_TOO_SHORT,
    jobs.Unscored.NO_SPEECH: job_pb2.UNSCORED_NO_SPEECH,
    jobs.Unscored.NOT_MEASURED: job_pb2.UNSCORED_NOT_MEASURED,
}
_UNTOUCHED: Final = {
    jobs.UntouchedReason.NO_FACE: job_pb2.UNTOUCHED_REASON_NO_FACE,
    jobs.UntouchedReason.HIDDEN: job_pb2.UNTOUCHED_REASON_HIDDEN,
    jobs.UntouchedReason.TURNED_AWAY: job_pb2.UNTOUCHED_REASON_TURNED_AWAY,
    jobs.UntouchedReason.TOO_SMALL: job_pb2.UNTOUCHED_REASON_TOO_SMALL,
}
_FITS: Final = {
    job_pb2.FIT_MODE_UNSPECIFIED: FitMode.BOUNCE,
    job_pb2.FIT_MODE_TRIM: FitMode.TRIM,
    job_pb2.FIT_MODE_LOOP: FitMode.LOOP,
    job_pb2.FIT_MODE_BOUNCE: FitMode.BOUNCE,
    job_pb2.FIT_MODE_HOLD: FitMode.HOLD,
}
_FIT_VALUES: Final = {
    FitMode.TRIM: job_pb2.FIT_MODE_TRIM,
    FitMode.LOOP: job_pb2.FIT_MODE_LOOP,
    FitMode.BOUNCE: job_pb2.FIT_MODE_BOUNCE,
    FitMode.HOLD: job_pb2.FIT_MODE_HOLD,
}


def timestamp(micros: int) -> Timestamp:
    """A point in time."""
    value = Timestamp()
    value.FromMicroseconds(micros)
    return value


def duration(seconds: float) -> Duration:
    """A length of time."""
    value = Duration()
    value.FromNanoseconds(round(seconds * 1e9))
    return value


async def upload(
    requests: AsyncIterator[asset_pb2.UploadRequest], pace: Pace
) -> tuple[assets.Manifest, AsyncIterator[assets.UploadMessage]]:
    """The manifest that an upload begins with, and the pieces and digests that follow.

    Raises:
        InvalidInputError: it does not begin with a manifest.
        DeadlineError: it does not begin.
    """
    first = await pace.wait(anext(requests, None))
    if first is None or first.WhichOneof("message") != "manifest":
        raise InvalidInputError("an upload begins with the manifest", field="manifest")
    return _manifest(first.manifest), _messages(requests)


def _manifest(message: asset_pb2.Manifest) -> assets.Manifest:
    return assets.Manifest(
        size_bytes=message.size_bytes,
        digests=tuple(message.chunk_digests),
        display_name=assets.display_name(message.display_name),
        chunk_bytes=message.chunk_bytes,
        ends=(message.head_digest, message.tail_digest) if message.head_digest or message.tail_digest else None,
    )


async def _messages(requests: AsyncIterator[asset_pb2.UploadRequest]) -> AsyncIterator[assets.UploadMessage]:
    async for request in requests:
        match request.WhichOneof("message"):
            case "piece":
                piece = request.piece
                yield assets.Piece(chunk=piece.chunk_index, offset=piece.offset_bytes, data=piece.data)
            case "digests":
                yield assets.Digests(first=request.digests.first_chunk, digests=tuple(request.digests.digests))
            case _:
                raise InvalidInputError("after the manifest come pieces and digests", field="piece")


def chunk_ranges(runs: tuple[assets.ChunkRange, ...]) -> list[asset_pb2.ChunkRange]:
    """Runs of chunks."""
    return [asset_pb2.ChunkRange(first=run.first, count=run.count) for run in runs]


def upload_answer(answer: assets.UploadAnswer) -> asset_pb2.UploadResponse:
    """What an upload is told."""
    match answer:
        case assets.Started():
            start = asset_pb2.UploadStart(asset_id=answer.asset_id, held=chunk_ranges(answer.held))
            return asset_pb2.UploadResponse(start=start)
        case assets.Held():
            held = asset_pb2.UploadHeld(held=chunk_ranges(answer.held), asset_id=answer.asset_id)
            return asset_pb2.UploadResponse(held=held)
        case assets.Persisted():
            persisted = asset_pb2.UploadPersisted(
                chunks=chunk_ranges(answer.chunks), persisted_bytes=answer.persisted_bytes
            )
            return asset_pb2.UploadResponse(persisted=persisted)
        case assets.Wanted():
            wanted = asset_pb2.UploadWanted(chunks=chunk_ranges(answer.chunks))
            return asset_pb2.UploadResponse(wanted=wanted)
        case assets.Completed():
            complete = asset_pb2.UploadComplete(asset=asset(answer.asset))
            return asset_pb2.UploadResponse(complete=complete)


def asset(value: assets.Asset) -> asset_pb2.Asset:
    """An asset."""
    message = asset_pb2.Asset(
        asset_id=value.asset_id,
        size_bytes=value.size_bytes,
        display_name=value.display_name,
        state=asset_pb2.ASSET_STATE_READY if value.ready else asset_pb2.ASSET_STATE_UPLOADING,
        create_time=timestamp(value.created_us),
    )
    if value.kind is not None:
        message.kind = _KINDS[value.kind]
    if value.expire_us is not None:
        message.expire_time.CopyFrom(timestamp(value.expire_us))
    if value.media is not None:
        media = value.media
        message.media.CopyFrom(
            asset_pb2.MediaInfo(
                container=media.container,
                duration_seconds=media.duration_seconds,
                width=media.width,
                height=media.height,
                frame_rate=float(media.frame_rate),
                video_codec=media.video_codec,
                audio_codec=media.audio_codec,
                sample_rate=media.sample_rate,
                channels=media.channels,
            )
        )
    return message


def asset_kind(value: int) -> assets.AssetKind | None:
    """The kind that is asked for; None for all.

    Raises:
        InvalidInputError: there is no such kind.
    """
    if value == asset_pb2.ASSET_KIND_UNSPECIFIED:
        return None
    for kind, number in _KINDS.items():
        if number == value:
            return kind
    raise InvalidInputError("there is no such kind", field="kind")


def limits(files: assets.AssetLimits, media: MediaLimits, chunk_bytes: int) -> asset_pb2.Limits:
    """What the edge refuses."""
    return asset_pb2.Limits(
        asset_bytes=files.asset_bytes,
        frame_pixels=media.frame_pixels,
        photo_pixels=media.photo_pixels,
        duration_seconds=media.duration_seconds,
        min_speech_seconds=media.min_speech_seconds,
        decoded_pixels=media.decoded_pixels,
        manifest_chunks=files.manifest_chunks,
        chunk_bytes=chunk_bytes,
    )


def library_file(value: LibraryFile) -> asset_pb2.LibraryFile:
    """A file of a library."""
    return asset_pb2.LibraryFile(
        name=str(value.name),
        size_bytes=value.size_bytes,
        modify_time=timestamp(value.modified_us),
        asset_id=value.asset_id,
    )


def add_answer(answer: BringProgress | assets.Asset) -> asset_pb2.AddAssetResponse:
    """What is told of a file on its way from a library."""
    if isinstance(answer, assets.Asset):
        return asset_pb2.AddAssetResponse(asset=asset(answer))
    progress = asset_pb2.AddProgress(
        done_bytes=answer.done_bytes, size_bytes=answer.size_bytes, waiting_for=answer.waiting_for
    )
    return asset_pb2.AddAssetResponse(progress=progress)


def options(request: job_pb2.SubmitJobRequest) -> jobs.JobOptions:
    """What a job is asked to do.

    Raises:
        InvalidInputError: there is no such fit.
    """
    message = request.options
    fit = _FITS.get(message.fit)
    if fit is None:
        raise InvalidInputError("there is no such fit", field="options.fit")
    volume = message.background_volume if message.HasField("background_volume") else jobs.BACKGROUND_VOLUME
    return jobs.JobOptions(
        fit=fit,
        keep_length=message.keep_length,
        engine=message.engine,
        speaker=speakers.speaker(message.speaker, "options.speaker"),
        speaker_name=message.speaker_name,
        voices=speakers.voices(message.voices),
        keep_sound=message.keep_sound,
        background_volume=volume,
        # What is shorter than a microsecond is a time all the same.
        timeout_s=round(request.timeout.ToNanoseconds() / 1e9, 6) or 1e-6 * request.HasField("timeout"),
        webhook=request.webhook,
    )


def job_error(error: jobs.JobError | VisemeError) -> job_pb2.JobError:
    """Why something failed."""
    return job_pb2.JobError(reason=error.reason, field=error.field, message=error.message, limit=error.limit)


def job(value: jobs.Job) -> job_pb2.Job:
    """A job."""
    message = job_pb2.Job(
        job_id=value.job_id,
        state=_STATES[value.state],
        video_asset_id=value.video_asset_id,
        speech_asset_id=value.speech_asset_id,
        options=job_pb2.JobOptions(
            fit=_FIT_VALUES[value.options.fit],
            keep_length=value.options.keep_length,
            engine=value.options.engine,
            keep_sound=value.options.keep_sound,
            background_volume=value.options.background_volume if value.has_background else None,
            speaker=speakers.speaker_message(value.options.speaker),
            speaker_name=value.options.speaker_name,
            voices=map(speakers.voice_message, value.options.voices),
        ),
        background_asset_id=value.background_asset_id,
        create_time=timestamp(value.created_us),
        update_time=timestamp(value.updated_us),
        result_asset_id=value.result_asset_id,
        last_sequence=value.last_sequence,
        webhook=value.options.webhook,
        timeout=duration(value.options.timeout_s) if value.options.timeout_s else None,
        expire_time=None if value.expire_us is None else timestamp(value.expire_us),
    )
    if value.error is not None:
        message.error.CopyFrom(job_error(value.error))
    if value.report is not None:
        message.report.CopyFrom(_report(value.report))
    return message


def _report(report: jobs.JobReport) -> job_pb2.JobReport:
    return job_pb2.JobReport(
        frames=report.frames,
        frame_rate=report.frame_rate,
        segments=report.segments,
        stages=[
            job_pb2.StageTime(stage=_STAGES[stage], busy=duration(seconds)) for stage, seconds in report.stages.items()
        ],
        total=duration(report.total_s),
        wan=job_pb2.WanBytes(up_bytes=report.up_bytes, down_bytes=report.down_bytes),
        engine=report.engine,
        untouched_frames=report.untouched_frames,
        link_profile=report.link_profile,
        sync=None if report.sync is None else _sync(report.sync),
        unscored=_UNSCORED[report.unscored],
        untouched=[
            job_pb2.UntouchedStretch(
                start=duration(stretch.start_us / 1e6),
                end=duration(stretch.end_us / 1e6),
                reason=_UNTOUCHED[stretch.reason],
            )
            for stretch in report.untouched
        ],
        untouched_left_out=report.untouched_left_out,
    )


def _sync(sync: jobs.SyncScore) -> job_pb2.SyncScore:
    return job_pb2.SyncScore(
        score=sync.score, lag_ms=sync.lag_ms, correlation=sync.correlation, amplitude=sync.amplitude
    )


def event(value: jobs.Event) -> job_pb2.Event:
    """An event."""
    message = job_pb2.Event(job_id=value.job_id, sequence=value.sequence, time=timestamp(value.time_us))
    match value.body:
        case jobs.StateChanged(state=state):
            message.state_changed.state = _STATES[state]
        case jobs.Progress() as progress:
            message.progress.CopyFrom(
                job_pb2.Progress(
                    stage=_STAGES[progress.stage],
                    done_frames=progress.done_frames,
                    total_frames=progress.total_frames,
                    done_bytes=progress.done_bytes,
                )
            )
        case jobs.Notice() as notice:
            message.notice.CopyFrom(
                job_pb2.Notice(severity=_SEVERITIES[notice.severity], reason=notice.reason, message=notice.message)
            )
    return message


def preview_answer(answer: previews.PreviewAnswer) -> job_pb2.PreviewResponse:
    """What a preview's watcher is sent."""
    if isinstance(answer, previews.PreviewPiece):
        piece = job_pb2.PreviewPiece(
            fragment=answer.fragment,
            start=duration(answer.start_us / 1e6),
            end=duration(answer.end_us / 1e6),
            size_bytes=answer.size_bytes,
            offset_bytes=answer.offset,
            data=answer.data,
        )
        return job_pb2.PreviewResponse(piece=piece)
    return job_pb2.PreviewResponse(init=job_pb2.PreviewInit(mime_type=answer.mime_type, data=answer.data))
