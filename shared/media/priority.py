"""How threads are scheduled, kept as it was."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def usual_priority() -> Iterator[None]:
    """Give this thread back, after the block, how it was scheduled before.

    SVT-AV1 makes the thread that opens an encoder a real-time one (``SCHED_FIFO``, 99) wherever root runs it, and all
    threads and programs that it starts later inherit that: they then have the processors before anybody else, and two
    that wait for each other stand still for ever.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)
