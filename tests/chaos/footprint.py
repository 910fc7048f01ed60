"""What a running system holds of the machine: open files, memory, processes, files of jobs; and shared memory."""

from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.stack import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Of one part with its children, or of all where nothing else is said."""

    files: dict[str, int]
    """Open files, sockets and pipes by part."""
    memory_mib: dict[str, int]
    """Memory that is the part's own (USS, and that of its children) by part."""
    processes: dict[str, int]
    """The part and its children."""
    job_folders: int
    """Folders in which jobs work."""


def footprint(stack: Stack) -> Footprint:
    """What is held now."""
    files, memory, processes = {}, {}, {}
    for name, part in stack.parts.items():
        own = psutil.Process(part.process.pid)
        family = [own, *own.children(recursive=True)]
        files[name] = own.num_fds()
        memory[name] = sum(one.memory_full_info().uss for one in family) >> 20
        processes[name] = len(family)
    return Footprint(
        files=files,
        memory_mib=memory,
        processes=processes,
        job_folders=sum(1 for _ in (stack.root / "edge" / "jobs").iterdir()),
    )


def shared_memory() -> set[str]:
    """The names of all shared memory of this machine."""
    return {path.name for path in Path("/dev/shm").iterdir()}  # noqa: S108 - where the system keeps it
