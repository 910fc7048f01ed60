"""Exit codes of the command line."""

from enum import IntEnum

from shared import errors


class ExitCode(IntEnum):
    """How the command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BAD_INPUT = 3
    UNAVAILABLE = 4
    EXHAUSTED = 5
    CANCELLED = 6
    BROKEN = 7
    UNSIGNED = 8
    DENIED = 9
    INTERRUPTED = 130
    TERMINATED = 143


WORDS = """Exit codes:

\b
    0  done
    1  the job failed, or a fault of viseme's
    2  the command was written wrongly
    3  bad input: a file, an option, or a job that is not there
    4  edge, node or engine cannot be reached
    5  something is full: a queue or a disk; try again later
    6  the job was cancelled
    7  verify: what the file claims does not hold
    8  verify: the file claims nothing that could be checked
    9  the edge, or what stands before it, does not let you in
  130  interrupted by Ctrl-C (143: by SIGTERM)
"""

_TABLE: dict[type[errors.VisemeError], ExitCode] = {
    errors.InvalidInputError: ExitCode.BAD_INPUT,
    errors.UnauthenticatedError: ExitCode.DENIED,
    errors.PermissionDeniedError: ExitCode.DENIED,
    errors.NotFoundError: ExitCode.BAD_INPUT,
    errors.UnavailableError: ExitCode.UNAVAILABLE,
    errors.DeadlineError: ExitCode.UNAVAILABLE,
    errors.ResourceExhaustedError: ExitCode.EXHAUSTED,
    errors.CancelledByUserError: ExitCode.CANCELLED,
    errors.VisemeError: ExitCode.FAILED,
}


def exit_code(error: errors.VisemeError) -> ExitCode:
    """The exit code for an error; a failed job ends as its cause would have."""
    kind = errors.by_reason(error.cause_reason) if isinstance(error, errors.JobFailedError) else type(error)
    return next(_TABLE[above] for above in kind.__mro__ if above in _TABLE)
