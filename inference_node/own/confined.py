"""A child process that opens files which nobody trusts: with hard limits, no environment, and gone when it is done."""

import importlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from shared.errors import DeadlineError, InternalError, InvalidInputError, VisemeError, by_reason
from shared.media.forkserver import ChildLimits, confine

_BOOT: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from inference_node.own.confined import main; main()"
)
_ENVIRONMENT: Final = {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_LONGEST_ANSWER: Final = 1 << 20
_MOST_MEMORY: Final = 16 << 30
_LEAST_MEMORY: Final = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLimits:
    """What an import may take."""

    file_bytes: int = 2 << 30
    """Of the file that is imported, unpacked."""
    memory_bytes: int = field(default_factory=lambda: min(_MOST_MEMORY, max(_LEAST_MEMORY, _machine_memory())))
    """Virtual memory of the child; importing Wav2Lip takes 2.3 GiB, and a torch for GPUs maps more by itself."""
    seconds: float = 600.0


def run_confined(module: str, function: str, arguments: dict[str, Any], limits: ImportLimits) -> dict[str, Any]:
    """Call ``function(arguments)`` of a module in a child; JSON goes in and comes out.

    Raises:
        VisemeError: what the function raised.
        InvalidInputError: the child was killed or asked for more than it may have.
        DeadlineError: it took too long.
    """
    asked = {"module": module, "function": function, "arguments": arguments, "limits": asdict(limits)}
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-c", _BOOT, json.dumps(sys.path)],
            input=json.dumps(asked).encode(),
            capture_output=True,
            env=_ENVIRONMENT,
            timeout=limits.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DeadlineError(f"reading the file took longer than {limits.seconds:g} s", field="file") from None
    lines = done.stdout[:_LONGEST_ANSWER].splitlines()
    try:
        answer = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise InvalidInputError(
            "reading the file asks for more memory or time than an import may take, or breaks the reader", field="file"
        ) from None
    if "error" not in answer:
        told: dict[str, Any] = answer["answer"]
        return told
    error = answer["error"]
    raise by_reason(str(error["reason"]))(str(error["message"]), field=str(error["field"]), limit=str(error["limit"]))


def _machine_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """The child: import what the work needs, give up what it does not, do it."""
    asked = json.load(sys.stdin)
    work = getattr(importlib.import_module(asked["module"]), asked["function"])
    limits = asked["limits"]
    seconds = int(limits["seconds"])
    largest = 2 * limits["file_bytes"]
    # Without walls: it is the operator's own command, and torch imports and writes where it likes.
    confine(ChildLimits(address_space_bytes=limits["memory_bytes"], cpu_seconds=seconds, file_bytes=largest), None)
    try:
        answer = {"answer": work(asked["arguments"])}
    except VisemeError as error:
        answer = {"error": _told(error)}
    except MemoryError:
        answer = {"error": _told(InvalidInputError("it asks for more memory than an import may take", field="file"))}
    except ImportError as error:
        answer = {"error": _told(InternalError(f"a package is missing: {error.name}"))}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


def _told(error: VisemeError) -> dict[str, str]:
    return {"reason": error.reason, "message": error.message, "field": error.field, "limit": error.limit}
