"""How the C library's allocator and Python's collector are set in this process, by the program itself."""

import ctypes
import gc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class MallocSetting:
    """One setting of glibc's allocator."""

    variable: str
    """The environment variable that sets the same."""
    number: int
    """What ``mallopt`` knows it by."""
    value: int


KEEP_MESSAGES = (
    MallocSetting(variable="MALLOC_MMAP_THRESHOLD_", number=-3, value=32 << 20),
    MallocSetting(variable="MALLOC_TRIM_THRESHOLD_", number=-1, value=256 << 20),
)
"""For programs that send and take gRPC messages of 256 KiB and more: their memory is used again, where by default it is
given back to the system and faulted in anew for every message. Measured: see tests/bench/transfer/."""


def set_malloc(settings: Iterable[MallocSetting], environ: Mapping[str, str]) -> None:
    """Set the allocator; a setting that the environment makes is left alone, as is another C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for setting in settings:
        if setting.variable not in environ:
            mallopt(setting.number, setting.value)


_COLLECTOR: Final = (20_000, 20, 20)


def calm_collector() -> None:
    """Let Python look for cycles less often, in programs that hold many objects for long.

    An event that a thousand streams are told makes thousands of objects at once, which by default sets off a look at
    all there are: a fifth of the processor's time (tests/bench/sessions.py).
    """
    gc.set_threshold(*_COLLECTOR)
