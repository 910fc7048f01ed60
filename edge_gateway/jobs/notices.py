"""What a person is told while a job runs, in words."""

from collections.abc import Sequence

from edge_gateway.face.speaker import Place
from edge_gateway.jobs.job import Notice, Severity, SyncScore, Unscored, UntouchedReason
from edge_gateway.jobs.verdict import Verdict
from shared.media.probe import MediaInfo


def photo_reduced(media: MediaInfo) -> Notice:
    """A photo has more pixels than a video may have."""
    message = (
        f"The photo of {media.original_width}x{media.original_height} is reduced to {media.width}x{media.height},"
        " the largest picture that a video may have here (limit frame_pixels)."
    )
    return Notice(severity=Severity.INFO, reason="photo_reduced", message=message)


def taken_up(there: str) -> Notice:
    """The job was left in the middle, as the edge was started again or the disk was full."""
    message = f"The job goes on where it was: {there}; only what is missing is done again."
    return Notice(severity=Severity.INFO, reason="resumed", message=message)


def upload_goes_on(here: str, there: str) -> Notice:
    """More has come of what the job waited for."""
    message = f"The job goes on: {here} of the video are here, {there}."
    return Notice(severity=Severity.INFO, reason="upload_resumed", message=message)


def upload_awaited(names: Sequence[str]) -> Notice:
    """The job was accepted on files that are still being uploaded."""
    message = f"Waiting for the upload of the {' and of the '.join(dict.fromkeys(names))}."
    return Notice(severity=Severity.INFO, reason="upload_awaited", message=message)


def places_missed(places: Sequence[Place], total: int) -> Notice:
    """Some of the places of a face that was chosen have none."""
    message = f"At {len(places)} of the {total} places of the speaker no face is; the first is {places[0].words}."
    return Notice(severity=Severity.WARNING, reason="no_face_places", message=message)


_TOLD = 5
_WHY = {
    UntouchedReason.NO_FACE: "no face",
    UntouchedReason.HIDDEN: "mouth covered, or face not to be made out",
    UntouchedReason.TURNED_AWAY: "turned away too far",
    UntouchedReason.TOO_SMALL: "face too small",
}


def told_of(verdict: Verdict) -> list[Notice]:
    """What a person is told of a result before it is finished."""
    told = [_untouched(verdict)] if verdict.untouched_frames else []
    if verdict.sync is not None:
        told.append(_sync(verdict.sync))
    elif verdict.unscored is Unscored.NO_SPEECH:
        message = "No speech was heard in the recording, so the lips stay closed. Is it the right file?"
        told.append(Notice(severity=Severity.WARNING, reason="no_speech", message=message))
    return told


def _sync(sync: SyncScore) -> Notice:
    lag = "" if sync.lag_ms is None else f", {_lag(sync.lag_ms)}"
    message = f"Sync score: {sync.score} of 100{lag}."
    if not sync.is_low:
        return Notice(severity=Severity.INFO, reason="sync_score", message=message)
    message = f"{message} The lips hardly follow the speech; look at the result before you use it."
    return Notice(severity=Severity.WARNING, reason="low_sync_score", message=message)


def _lag(lag_ms: int) -> str:
    return f"lips {abs(lag_ms)} ms {'late' if lag_ms > 0 else 'early'}" if lag_ms else "lips in time"


def _untouched(verdict: Verdict) -> Notice:
    """Some frames pass through; where they are most of them, that is hardly what was wanted."""
    first = [
        f"{one.start_us / 1e6:.1f} to {one.end_us / 1e6:.1f} s ({_WHY[one.reason]})"
        for one in verdict.untouched[:_TOLD]
    ]
    more = len(verdict.untouched) + verdict.left_out - len(first)
    where = ", ".join(first) + (f" and {more} more stretches" if more else "")
    message = f"{verdict.untouched_frames} of {verdict.frames} frames pass through untouched: {where}."
    severity = Severity.WARNING if 2 * verdict.untouched_frames > verdict.frames else Severity.INFO
    return Notice(severity=severity, reason="untouched_frames", message=message)
