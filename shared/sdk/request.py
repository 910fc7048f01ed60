"""What a job is asked for, on the wire."""

from typing import Final

from google.protobuf.duration_pb2 import Duration

from shared.errors import InvalidInputError
from shared.pb.viseme.gateway.v1 import job_pb2
from shared.sdk import model

_LONGEST_S: Final = 1e9
"""More than any edge takes, which says what it takes."""


def asked(of: job_pb2.Job | job_pb2.SubmitJobRequest) -> tuple[object, ...]:
    """What a job was, or is, asked for."""
    files = of.video_asset_id, of.speech_asset_id, of.background_asset_id
    return (*files, of.options, of.webhook, of.timeout)


def duration_to(seconds: float | None) -> Duration | None:
    """The time that a job may take.

    Raises:
        InvalidInputError: it is none.
    """
    if seconds is None:
        return None
    if not 0 < seconds < _LONGEST_S:
        raise InvalidInputError(f"a timeout is more than 0 s and less than {_LONGEST_S:g} s", field="timeout")
    value = Duration()
    value.FromNanoseconds(max(1000, round(seconds * 1e9)))
    return value


def options_to(fit: model.FitMode | str, *, keep_length: bool, engine: str) -> job_pb2.JobOptions:
    """What a job is asked to do, as far as every job says that.

    Raises:
        InvalidInputError: there is no such fit.
    """
    try:
        mode = model.FitMode(fit)
    except ValueError:
        names = ", ".join(model.FitMode)
        raise InvalidInputError(f"{fit!r} is none of {names}", field="options.fit") from None
    return job_pb2.JobOptions(
        fit=job_pb2.FitMode.Value(f"FIT_MODE_{mode.upper()}"), keep_length=keep_length, engine=engine
    )
