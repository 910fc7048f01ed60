"""Spans by OpenTelemetry, sent to a collector by OTLP over gRPC. The only place that knows OpenTelemetry.

It is installed with the extra ``trace`` (and with the services), and imported only where an endpoint was given.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.errors import InvalidInputError
from shared.telemetry import tracing
from shared.telemetry.tracing import TRACEPARENT, Kind, Value
from shared.version import version

_TIMEOUT_S: Final = 5
"""A collector that takes longer loses what it was sent; nothing of ours waits for it."""
_QUEUE: Final = 8192
"""Spans that wait for the collector; more are dropped."""
_KINDS: Final = {
    Kind.INTERNAL: trace.SpanKind.INTERNAL,
    Kind.CLIENT: trace.SpanKind.CLIENT,
    Kind.SERVER: trace.SpanKind.SERVER,
}
_W3C: Final = TraceContextTextMapPropagator()

# OpenTelemetry's own notion of the present span complains where a generator is closed in another context than the one
# that it began in, as gRPC does with streams that are cancelled.
_present: ContextVar[trace.Span | None] = ContextVar("viseme_span", default=None)


class OtelTracer:
    """See :class:`shared.telemetry.tracing.Tracer`."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def span(self, name: str, *, kind: Kind, parent: str | None, attributes: dict[str, Value]) -> Iterator[None]:
        """A span that lasts as long as the block."""
        context = _here() if parent is None else _W3C.extract({TRACEPARENT: parent}, Context())
        span = self._tracer.start_span(
            name, context=context, kind=_KINDS[kind], attributes=attributes, record_exception=False
        )
        token = _present.set(span)
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            span.set_attribute("cancelled", value=True)
            raise
        except BaseException as error:
            span.set_status(trace.StatusCode.ERROR, f"{type(error).__name__}: {error}")
            raise
        finally:
            span.end()
            with suppress(ValueError):  # closed from another context, which never saw this span
                _present.reset(token)

    def record(self, name: str, *, begun_ns: int, ended_ns: int, attributes: dict[str, Value]) -> None:
        """A span that is over already."""
        span = self._tracer.start_span(name, context=_here(), attributes=attributes, start_time=begun_ns)
        span.end(ended_ns)

    def traceparent(self) -> str:
        """The present span; empty where there is none."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, _here())
        return carrier.get(TRACEPARENT, "")


def _here() -> Context | None:
    """The present span as OpenTelemetry reads it; None where only the program around us may have one."""
    span = _present.get()
    return None if span is None else trace.set_span_in_context(span, Context())


def host_tracer() -> OtelTracer:
    """A tracer of whatever the program around us has set up."""
    return OtelTracer(trace.get_tracer("viseme", version()))


@contextmanager
def exporting(endpoint: str, *, part: str, share: float, attributes: Mapping[str, str]) -> Iterator[None]:
    """Send spans of this process to a collector inside the block; what waits at its end is sent, for a few seconds.

    Args:
        endpoint: Where the collector listens: ``http://host:4317``, or ``https://`` for TLS.
        part: ``edge``, ``node`` or ``client``.
        share: How many of the trees that begin here are traced, 0 to 1; others go by what their beginner chose.
        attributes: What else stands at every span.

    Raises:
        InvalidInputError: the endpoint is no such address.
    """
    scheme, _, rest = endpoint.partition("://")
    if scheme not in {"http", "https"} or not rest:
        message = f"{endpoint!r} is no collector; write http://HOST:4317 (OTLP over gRPC), or https:// for TLS"
        raise InvalidInputError(message, field="otlp_endpoint")
    told = {"service.name": f"viseme-{part}", "service.version": version(), **attributes}
    provider = TracerProvider(
        resource=Resource.create(told), sampler=ParentBased(TraceIdRatioBased(share)), shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=scheme == "http", timeout=_TIMEOUT_S)
    batches = BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=1000)
    provider.add_span_processor(batches)
    tracing.use(OtelTracer(provider.get_tracer("viseme", version())))
    try:
        yield
    finally:
        tracing.use(None)
        provider.shutdown()
