"""What a person is told while a job runs, in words."""

from collections.abc import Sequence

from edge_gateway.face.speaker import Place
from edge_gateway.jobs.job import Notice, Severity
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


def places_missed(places: Sequence[Place], total: int) -> Notice:
    """Some of the places of a face that was chosen have none."""
    message = f"At {len(places)} of the {total} places of the speaker no face is; the first is {places[0].words}."
    return Notice(severity=Severity.WARNING, reason="no_face_places", message=message)


def untouched(frames: int, total: int) -> Notice:
    """Some frames have no face."""
    message = f"{frames} of {total} frames show no face and pass through untouched."
    return Notice(severity=Severity.INFO, reason="no_face_frames", message=message)
