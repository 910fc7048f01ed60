"""Every error that viseme raises on purpose.

::

    VisemeError
    ├── InvalidInputError          the caller must change something; names the field
    │   ├── InvalidMediaError      a file is not what it should be
    │   ├── LimitExceededError     a size, length or count is beyond a named limit
    │   └── NoFaceError            no face was found in the whole video
    ├── UnauthenticatedError       nobody knows who calls
    ├── PermissionDeniedError      who calls may not do this
    ├── NotFoundError
    ├── ConflictError              the thing is not in a state for this
    │   ├── MissingChunksError     an asset is not complete
    │   └── TakenOverError         another client goes on with this upload
    ├── ResourceExhaustedError     try again later
    │   ├── QueueFullError
    │   └── DiskFullError
    ├── UnavailableError           a part does not answer; try again
    │   ├── EdgeUnavailableError
    │   ├── NodeUnavailableError
    │   └── EngineUnavailableError Triton or the network in it
    ├── DeadlineError              it took longer than it may
    ├── CancelledByUserError
    ├── JobFailedError             raised by the SDK when a job that was waited for failed
    └── InternalError              a fault of ours

``reason`` is stable and machine-readable; ``shared.rpc.status`` maps the tree to gRPC.
"""

from typing import ClassVar


class VisemeError(Exception):
    """The root of the tree.

    Args:
        message: What happened and what to do, in words for a person.
        field: The input at fault (``video``, ``speech``, ``options.engine``, ...), empty where there is none.
        limit: The name of the setting that was exceeded, empty where there is none.
        retry_after_s: Seconds after which trying again makes sense; None where it does not or nobody knows.
    """

    reason: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str = "", limit: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.limit = limit
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidInputError(VisemeError):
    """The caller must change something."""

    reason = "invalid_input"


class InvalidMediaError(InvalidInputError):
    """A file is empty, truncated, mislabelled or lacks what is needed."""

    reason = "invalid_media"


class LimitExceededError(InvalidInputError):
    """A size, length or count is beyond a named limit."""

    reason = "limit_exceeded"


class NoFaceError(InvalidInputError):
    """No face was found in the whole video."""

    reason = "no_face"


class UnauthenticatedError(VisemeError):
    """Nobody knows who calls: so far only what stands before an edge says this."""

    reason = "unauthenticated"


class PermissionDeniedError(VisemeError):
    """Whoever calls is known and may not do this."""

    reason = "permission_denied"


class NotFoundError(VisemeError):
    """There is no such thing, or it is not the caller's."""

    reason = "not_found"


class ConflictError(VisemeError):
    """The thing exists but is not in a state for this."""

    reason = "conflict"


class MissingChunksError(ConflictError):
    """An asset is used before all its chunks are there."""

    reason = "missing_chunks"


class TakenOverError(ConflictError):
    """A newer client goes on with the same upload; ask for the asset to see how far it is."""

    reason = "taken_over"


class ResourceExhaustedError(VisemeError):
    """Something is full for now."""

    reason = "resource_exhausted"
    retryable = True


class QueueFullError(ResourceExhaustedError):
    """As much work waits as may wait."""

    reason = "queue_full"


class DiskFullError(ResourceExhaustedError):
    """The disk has no room."""

    reason = "disk_full"


class UnavailableError(VisemeError):
    """A part does not answer."""

    reason = "unavailable"
    retryable = True


class EdgeUnavailableError(UnavailableError):
    """The edge gateway does not answer."""

    reason = "edge_unavailable"


class NodeUnavailableError(UnavailableError):
    """The inference node does not answer."""

    reason = "node_unavailable"


class EngineUnavailableError(UnavailableError):
    """Triton, or the network in it, does not answer."""

    reason = "engine_unavailable"


class DeadlineError(VisemeError):
    """It took longer than it may."""

    reason = "deadline_exceeded"
    retryable = True


class CancelledByUserError(VisemeError):
    """Somebody asked to stop it."""

    reason = "cancelled"


class JobFailedError(VisemeError):
    """A job that was waited for failed; ``cause_reason`` says why in one word."""

    reason = "job_failed"

    def __init__(self, message: str, *, field: str = "", limit: str = "", cause_reason: str = "") -> None:
        super().__init__(message, field=field, limit=limit)
        self.cause_reason = cause_reason


class InternalError(VisemeError):
    """A fault of ours; details stand in the log of the part that raised it."""

    reason = "internal"


def by_reason(reason: str) -> type[VisemeError]:
    """Find the class for a ``reason``; ``InternalError`` for one that is unknown."""
    waiting: list[type[VisemeError]] = [VisemeError]
    while waiting:
        kind = waiting.pop()
        if kind.reason == reason:
            return kind
        waiting.extend(kind.__subclasses__())
    return InternalError
