"""Traces are off unless somebody wants them, and cost nothing then."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.errors import InvalidInputError
from shared.telemetry import tracing
from shared.telemetry.otlp import OtelTracer
from shared.telemetry.start import traced

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing.use(OtelTracer(provider.get_tracer("test")))
    yield kept
    tracing.use(None)


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    """Clients in other tests take part in the traces of this process, which has OpenTelemetry loaded."""
    tracing.use(None)
    yield
    tracing.use(None)


def test_nothing_is_told_unless_somebody_wants_it() -> None:
    with traced("", part="client"), tracing.span("a", job_id="1"):
        assert (tracing.is_on(), tracing.traceparent(), tracing.metadata()) == (False, "", ())


@pytest.mark.parametrize("module", ["viseme", "shared.cli.main", "edge_gateway.app", "inference_node.rpc.servicer"])
def test_nothing_imports_opentelemetry_before_a_collector_is_named(module: str) -> None:
    code = f"import sys, {module}; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("endpoint", ["collector", "collector:4317", "grpc://collector:4317", "http://"])
def test_what_is_no_collector_is_refused_by_name(endpoint: str) -> None:
    with pytest.raises(InvalidInputError, match="http://HOST:4317") as refused, traced(endpoint, part="edge"):
        pass
    assert refused.value.field == "otlp_endpoint"


def test_a_span_goes_on_with_the_trace_that_came(spans: InMemorySpanExporter) -> None:
    with tracing.span("outer", parent=PARENT):
        assert tracing.trace_id() == PARENT.split("-")[1]
        with tracing.span("inner"):
            pass
    inner, outer = spans.get_finished_spans()
    assert (inner.parent and inner.parent.span_id) == outer.context.span_id
    assert outer.parent is not None
    assert format(outer.parent.span_id, "016x") == PARENT.split("-")[2]


@pytest.mark.parametrize("parent", ["", "nonsense", "00-0-0-01", PARENT.replace("00-", "ff-", 1), "00-" + "g" * 50])
def test_a_parent_that_is_none_begins_a_tree(spans: InMemorySpanExporter, parent: str) -> None:
    with tracing.span("outer"), tracing.span("root", parent=parent):
        pass
    root, _ = spans.get_finished_spans()
    assert root.parent is None


def test_parts_and_records_stand_only_in_a_trace(spans: InMemorySpanExporter) -> None:
    with tracing.part("alone"):
        tracing.record("before", 1.0)
    assert not spans.get_finished_spans()
    with tracing.span("whole"), tracing.part("within"):
        tracing.record("before", 2.0, ago_s=1.0)
    before, within, _ = spans.get_finished_spans()
    assert (before.parent and before.parent.span_id) == within.context.span_id
    assert (before.end_time or 0) - (before.start_time or 0) == 2_000_000_000


def test_an_error_is_noted_and_a_cancellation_is_none(spans: InMemorySpanExporter) -> None:
    with pytest.raises(KeyError), tracing.span("broken"):
        raise KeyError("x")
    with pytest.raises(asyncio.CancelledError), tracing.span("stopped"):
        raise asyncio.CancelledError
    broken, stopped = spans.get_finished_spans()
    assert broken.status.description == "KeyError: 'x'"
    assert stopped.status.is_ok
    assert stopped.attributes == {"cancelled": True}


async def test_a_stream_that_is_closed_elsewhere_ends_its_span(spans: InMemorySpanExporter) -> None:
    async def stream() -> AsyncIterator[int]:
        with tracing.span("stream"):
            yield 1

    answers = stream()
    await asyncio.create_task(anext(answers))  # type: ignore[arg-type]  # a coroutine at run time
    await asyncio.create_task(answers.aclose())  # type: ignore[attr-defined]  # it is a generator
    assert [span.name for span in spans.get_finished_spans()] == ["stream"]
