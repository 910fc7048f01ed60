"""What all commands share: their common options, and running them to an exit code."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.cli.exits import ExitCode, exit_code
from shared.cli.places import Places
from shared.errors import VisemeError
from shared.telemetry import tracing

if TYPE_CHECKING:
    from shared.cli.display import Display

EdgeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--edge",
        metavar="HOST:PORT",
        envvar="VISEME_EDGE",
        help="The edge to use; else the local one; https://HOST:PORT by TLS (VISEME_CA). Of several (or with commas) "
        "the nearest that answers. VISEME_KEY is shown to it.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout, no bars.")]
OutputOption = Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="The file to write.")]
RateOption = Annotated[
    str,
    typer.Option("--limit-rate", "--rate", metavar="RATE", help="Upload at most RATE bytes a second: 500K, 2M."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="The job fails after this time; the edge keeps it."),
]
WebhookOption = Annotated[
    str, typer.Option("--webhook", metavar="URL", help="Where the edge tells the job's end, if its operator allows it.")
]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, from `viseme jobs`.")]


def run_command(
    work: Callable[["Display"], Coroutine[Any, Any, None]], *, as_json: bool, stop_is_fine: bool = False
) -> None:
    """Run what a command does, show its errors, and end with its exit code."""
    from shared.cli.display import choose_display, show_error
    from shared.cli.interrupt import Interrupted, run_interruptible
    from shared.telemetry.start import traced

    try:
        with traced(os.environ.get("VISEME_OTLP_ENDPOINT", ""), part="client"), tracing.span(_command()):
            run_interruptible(lambda: work(choose_display(as_json=as_json)))
        # Python would do it after us, when an error can no longer be told.
        if sys.stdout is not None:
            sys.stdout.flush()
    except VisemeError as error:
        code = exit_code(error)
        show_error(error, code, as_json=as_json)
        raise typer.Exit(code) from None
    except Interrupted as stop:
        raise typer.Exit(ExitCode.OK if stop_is_fine else stop.code) from None
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be told to anybody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ExitCode.FAILED) from None
    except OSError as error:
        # Most often our own output goes to a disk that is full: what is left to say can only go to the other stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        with contextlib.suppress(OSError):
            sys.stderr.write(f"viseme: cannot read or write: {error}\n")
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise typer.Exit(ExitCode.EXHAUSTED if is_full else ExitCode.FAILED) from None


def _command() -> str:
    """The command's first words, without what it was given: the name of its span."""
    return " ".join(["viseme", *[word for word in sys.argv[1:] if not word.startswith("-")][:1]])


def places() -> Places:
    """Where things lie for this user."""
    return Places.of(os.environ)


def speaks_unicode() -> bool:
    """Whether stderr takes more than ASCII."""
    return (sys.stderr.encoding or "").lower().replace("-", "").startswith("utf8")
