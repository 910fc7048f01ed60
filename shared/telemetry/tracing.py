"""Traces: what a request or a job goes through, as one tree from the client to the network.

Off until :func:`use` is given a tracer; then and only then is OpenTelemetry imported, by ``shared/telemetry/otlp.py``.
What is written here costs the SDK nothing to import, and knows neither a collector nor a wire: a place in a tree is a
W3C ``traceparent``, which travels as metadata of calls, in a job's row and in a ticket of the node's queue.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from typing import Final, Protocol

TRACEPARENT: Final = "traceparent"
"""The key of metadata and the name of the HTTP header."""

Value = str | int | float | bool


class Kind(Enum):
    """Which end of a call a span is."""

    INTERNAL = "internal"
    CLIENT = "client"
    SERVER = "server"


class Tracer(Protocol):
    """Where spans go."""

    def span(
        self, name: str, *, kind: Kind, parent: str | None, attributes: dict[str, Value]
    ) -> AbstractContextManager[None]:
        """A span that lasts as long as the block; below ``parent`` where one is given, else below the present one."""
        ...

    def record(self, name: str, *, begun_ns: int, ended_ns: int, attributes: dict[str, Value]) -> None:
        """A span that is over already, below the present one; nanoseconds since 1970."""
        ...

    def traceparent(self) -> str:
        """The present span; empty where there is none."""
        ...


class _Off:
    """Nobody wants traces."""

    @contextmanager
    def span(self, name: str, *, kind: Kind, parent: str | None, attributes: dict[str, Value]) -> Iterator[None]:
        del name, kind, parent, attributes
        yield

    def record(self, name: str, *, begun_ns: int, ended_ns: int, attributes: dict[str, Value]) -> None:
        pass

    def traceparent(self) -> str:
        return ""


_OFF: Final = _Off()
_tracer: Tracer = _OFF


def use(tracer: Tracer | None) -> None:
    """Have spans of this process go to a tracer, or nowhere; programs call it once, as they set up their logs."""
    global _tracer  # noqa: PLW0603 - one for a process, as logging has it
    _tracer = tracer or _OFF


def follow_host() -> None:
    """Take part in the traces of a program that uses the SDK and has OpenTelemetry itself; costs nothing where not."""
    if _tracer is _OFF and "opentelemetry.sdk.trace" in sys.modules:
        from shared.telemetry.otlp import host_tracer  # noqa: PLC0415 - OpenTelemetry is there already

        use(host_tracer())


def is_on() -> bool:
    """Whether anybody wants traces."""
    return _tracer is not _OFF


def span(
    name: str, *, kind: Kind = Kind.INTERNAL, parent: str | None = None, **attributes: Value
) -> AbstractContextManager[None]:
    """A span that lasts as long as the block; an error that leaves the block is noted in it.

    Args:
        name: What is done; one of few.
        kind: Which end of a call it is.
        parent: The ``traceparent`` of what it belongs to; empty begins a tree, None takes the present span.
        attributes: What tells this one from others: ids belong here, never into a metric's labels.
    """
    return _tracer.span(name, kind=kind, parent=parent, attributes=attributes)


def part(name: str, *, kind: Kind = Kind.INTERNAL, **attributes: Value) -> AbstractContextManager[None]:
    """The same for what is worth telling only as part of something else: nothing where there is no present span."""
    tracer = _tracer if _tracer.traceparent() else _OFF
    return tracer.span(name, kind=kind, parent=None, attributes=attributes)


def record(name: str, seconds: float, *, ago_s: float = 0.0, **attributes: Value) -> None:
    """A part that was measured already: it lasted so long and ended ``ago_s`` seconds before now."""
    if _tracer.traceparent():
        ended_ns = time.time_ns() - round(ago_s * 1e9)
        begun_ns = ended_ns - round(seconds * 1e9)
        _tracer.record(name, begun_ns=begun_ns, ended_ns=ended_ns, attributes=attributes)


def traceparent() -> str:
    """The present span, for whoever goes on with it elsewhere; empty where there is none."""
    return _tracer.traceparent()


def trace_id() -> str:
    """The id of the present tree, 32 hexadecimal digits; empty where there is none."""
    told = _tracer.traceparent()
    return told.split("-")[1] if told else ""


def metadata() -> tuple[tuple[str, str], ...]:
    """What a gRPC call carries so that its server goes on with the tree."""
    told = _tracer.traceparent()
    return ((TRACEPARENT, told),) if told else ()
