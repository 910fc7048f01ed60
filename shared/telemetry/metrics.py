"""Prometheus: a registry of its own for each process, the stage histogram, calls, and the page that is scraped."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from shared.errors import ConflictError
from shared.rpc.address import Address

STAGE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds, from 5 ms to 10 min."""

CALL_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
"""Seconds of one call; streams last long."""


LABEL_VALUES: Final = 64
"""How many values one label may have whose values come from outside, such as the names of engines."""

OTHER: Final = "other"
"""What is beyond them."""


def new_registry() -> CollectorRegistry:
    """A registry with the figures of this process (memory, CPU, descriptors, garbage collection)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def stage_histogram(registry: CollectorRegistry, name: str, words: str, *, labels: tuple[str, ...] = ()) -> Histogram:
    """A histogram of seconds a stage was at work, with buckets from 5 ms to 10 min."""
    return Histogram(name, words, labelnames=labels, buckets=STAGE_BUCKETS, registry=registry)


class CallMetrics:
    """Counts and times gRPC calls; give it to ``RpcServer(observe=...)``.

    Args:
        registry: Where the figures are registered.
        here: Labels that stand at every figure: who this is, and its region.
    """

    def __init__(self, registry: CollectorRegistry, here: Mapping[str, str]) -> None:
        self._here = tuple(here.values())
        self._seconds = Histogram(
            "viseme_rpc_seconds", "Time of gRPC calls.", (*here, "method"), buckets=CALL_BUCKETS, registry=registry
        )
        self._calls = Counter(
            "viseme_rpc_calls", "gRPC calls that ended.", (*here, "method", "code"), registry=registry
        )

    def __call__(self, method: str, code: str, seconds: float, trace_id: str) -> None:
        """Take note of one call."""
        self._seconds.labels(*self._here, method).observe(seconds, exemplar_of(trace_id))
        self._calls.labels(*self._here, method, code).inc()


def exemplar_of(trace_id: str) -> dict[str, str] | None:
    """What leads from a histogram's bucket to a trace; None where nobody traces."""
    return {"trace_id": trace_id} if trace_id else None


def disk_gauges(
    registry: CollectorRegistry,
    prefix: str,
    here: Mapping[str, str],
    *,
    free_bytes: Callable[[], float],
    size_bytes: Callable[[], float],
) -> None:
    """How full the disk is, looked at whenever the page is scraped."""
    free = Gauge(f"{prefix}_disk_free_bytes", "Room on the disk of the data folder.", tuple(here), registry=registry)
    size = Gauge(f"{prefix}_disk_size_bytes", "Size of that disk.", tuple(here), registry=registry)
    free.labels(*here.values()).set_function(free_bytes)
    size.labels(*here.values()).set_function(size_bytes)


class Bounded:
    """Values of a label that come from outside: each of the first ``limit`` stands for itself, others are ``other``.

    Args:
        limit: How many there may be.
    """

    def __init__(self, limit: int = LABEL_VALUES) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value that a label may have."""
        if value not in self._known:
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(value)
        return value


def certificate_gauge(
    registry: CollectorRegistry, prefix: str, here: Mapping[str, str], ends: Mapping[str, Callable[[], datetime]]
) -> None:
    """When certificates run out, asked whenever the page is scraped.

    Args:
        registry: Where it is scraped from.
        prefix: What the gauge's name begins with.
        here: Labels of every figure.
        ends: Gives the end of each, by what it is used for.
    """
    gauge = Gauge(
        f"{prefix}_tls_ends_seconds",
        "When the certificate in use for TLS runs out, in seconds since 1970.",
        (*here, "use"),
        registry=registry,
    )
    for use, end in ends.items():
        gauge.labels(*here.values(), use).set_function(partial(_seconds, end))


def _seconds(end: Callable[[], datetime]) -> float:
    return end().timestamp()


@contextmanager
def serve_metrics(registry: CollectorRegistry, listen: Address) -> Iterator[Address]:
    """Serve ``/metrics`` from a thread inside the block; gives the address with the real port.

    Raises:
        ConflictError: The address cannot be listened on.
    """
    try:
        server, thread = start_http_server(listen.port, addr=listen.host, registry=registry)
    except OSError as error:
        raise ConflictError(f"cannot listen on {listen}: {error.strerror}", field="metrics") from error
    try:
        yield Address(host=listen.host, port=server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
