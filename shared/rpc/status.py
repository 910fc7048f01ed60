"""The one table between our errors and statuses: gRPC, HTTP, and whether trying again makes sense.

A status carries ``google.rpc`` details: ``ErrorInfo`` with our ``reason`` in capitals, ``BadRequest`` with the field at
fault, ``RetryInfo`` with the delay. Sizes beyond a limit are RESOURCE_EXHAUSTED, as gRPC itself says it; without a
``RetryInfo`` such a call is not to be tried again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from shared import errors

DETAILS_KEY: Final = "grpc-status-details-bin"
"""The trailing metadata that carries ``google.rpc.Status``."""

DOMAIN: Final = "viseme"
"""The domain of our ``ErrorInfo``."""

MESSAGE_CHARACTERS: Final = 1500
"""Longest message in a status; a client refuses trailers of more than 8 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statuses:
    """How one class of error shows itself on each wire."""

    grpc: grpc.StatusCode
    http: int


TABLE: Final[dict[type[errors.VisemeError], Statuses]] = {
    errors.VisemeError: Statuses(grpc=grpc.StatusCode.UNKNOWN, http=500),
    errors.InvalidInputError: Statuses(grpc=grpc.StatusCode.INVALID_ARGUMENT, http=400),
    errors.InvalidMediaError: Statuses(grpc=grpc.StatusCode.INVALID_ARGUMENT, http=422),
    errors.LimitExceededError: Statuses(grpc=grpc.StatusCode.RESOURCE_EXHAUSTED, http=413),
    errors.NoFaceError: Statuses(grpc=grpc.StatusCode.INVALID_ARGUMENT, http=422),
    errors.UnauthenticatedError: Statuses(grpc=grpc.StatusCode.UNAUTHENTICATED, http=401),
    errors.PermissionDeniedError: Statuses(grpc=grpc.StatusCode.PERMISSION_DENIED, http=403),
    errors.NotFoundError: Statuses(grpc=grpc.StatusCode.NOT_FOUND, http=404),
    errors.ConflictError: Statuses(grpc=grpc.StatusCode.FAILED_PRECONDITION, http=409),
    errors.ResourceExhaustedError: Statuses(grpc=grpc.StatusCode.RESOURCE_EXHAUSTED, http=429),
    errors.DiskFullError: Statuses(grpc=grpc.StatusCode.RESOURCE_EXHAUSTED, http=507),
    errors.UnavailableError: Statuses(grpc=grpc.StatusCode.UNAVAILABLE, http=503),
    errors.DeadlineError: Statuses(grpc=grpc.StatusCode.DEADLINE_EXCEEDED, http=504),
    errors.CancelledByUserError: Statuses(grpc=grpc.StatusCode.CANCELLED, http=409),
    errors.JobFailedError: Statuses(grpc=grpc.StatusCode.ABORTED, http=409),
    errors.InternalError: Statuses(grpc=grpc.StatusCode.INTERNAL, http=500),
}
"""A class that is not listed takes the statuses of the nearest class above it."""

_BY_CODE: Final[dict[grpc.StatusCode, type[errors.VisemeError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidInputError,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidInputError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.ConflictError,
    grpc.StatusCode.ABORTED: errors.ConflictError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhaustedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineError,
}

_TOO_LARGE_WORDS: Final = "message larger than max"
"""What gRPC itself says of a message that it does not take; trying again would not help."""

_HINTS: Final = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        (
            "its certificate has expired, names another host, or nobody who is known here vouches for it: "
            "give its authority by ca= or VISEME_CA"
        ),
    ),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS: leave out https://"),
    # It took the connection, and did not understand what came on it.
    ("Socket closed", "if it is served by TLS, call it by https://"),
)
"""What to do, by what gRPC says of a connection that did not come about."""

_BROKEN_LINK_WORDS: Final = (
    "RST_STREAM",
    "Stream removed",
    "Connection reset",
    "Socket closed",
    "GOAWAY",
    "Internal error from Core",
)


def statuses_of(error: errors.VisemeError) -> Statuses:
    """The row of the table for an error."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def to_status(error: errors.VisemeError) -> status_pb2.Status:
    """Write an error as a ``google.rpc.Status``."""
    message = error.message[:MESSAGE_CHARACTERS]
    status = status_pb2.Status(code=statuses_of(error).grpc.value[0], message=message)
    info = error_details_pb2.ErrorInfo(reason=error.reason.upper(), domain=DOMAIN)
    if error.field:
        info.metadata["field"] = error.field
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=message[:200])
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.limit:
        info.metadata["limit"] = error.limit
    if isinstance(error, errors.JobFailedError) and error.cause_reason:
        info.metadata["cause_reason"] = error.cause_reason
    status.details.add().Pack(info)
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def from_status(status: status_pb2.Status) -> errors.VisemeError | None:
    """Read an error back; None where the status was not written by us."""
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    ours = False
    retry_after_s: float | None = None
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
            ours = info.domain == DOMAIN
        elif detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    if not ours:
        return None
    kind = errors.by_reason(info.reason.lower())
    field, limit = info.metadata.get("field", ""), info.metadata.get("limit", "")
    if issubclass(kind, errors.JobFailedError):
        return kind(status.message, field=field, limit=limit, cause_reason=info.metadata.get("cause_reason", ""))
    return kind(status.message, field=field, limit=limit, retry_after_s=retry_after_s)


def from_rpc_error(
    error: grpc.RpcError,
    *,
    unavailable: type[errors.UnavailableError] = errors.EdgeUnavailableError,
    address: str = "",
) -> errors.VisemeError:
    """Turn what gRPC raised into an error of our tree.

    Args:
        error: What ``grpc.aio`` raised.
        unavailable: The class for a peer that does not answer.
        address: The peer, for the message.
    """
    if not isinstance(error, grpc.aio.AioRpcError):
        return errors.InternalError(f"the call failed in an unknown way: {type(error).__name__}")
    ours = _written_by_us(error)
    if ours is not None:
        return ours
    code = error.code()
    words = error.details() or code.name.lower().replace("_", " ")
    peer = address or "the peer"
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED} or any(w in words for w in _BROKEN_LINK_WORDS):
        hint = next((f"; {hint}" for known, hint in _HINTS if known in words), "")
        return unavailable(f"{peer} does not answer ({words}){hint}")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        words = f"{peer} does not know this call; it is another program or another version"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        words = f"{peer} took longer than it may"
    if _TOO_LARGE_WORDS in words:
        return errors.LimitExceededError(words, limit="message_bytes")
    return _BY_CODE.get(code, errors.InternalError)(words)


def _written_by_us(error: grpc.aio.AioRpcError) -> errors.VisemeError | None:
    trailing: Iterable[tuple[str, str | bytes]] = tuple(error.trailing_metadata() or ())  # type: ignore[arg-type]  # stubs
    for key, value in trailing:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                return None
    return None
