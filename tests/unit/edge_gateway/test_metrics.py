"""The edge's figures: bounded, whatever comes from outside."""

from collections.abc import Iterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from edge_gateway.assets.outcome import Outcome
from edge_gateway.jobs.job import Change, JobError, JobReport, JobState, Stage
from edge_gateway.metrics import EdgeMetrics
from edge_gateway.web.server import serve_web
from edge_gateway.web.watch import Watched
from inference_node.metrics import NodeMetrics
from shared.rpc.address import parse_listen
from shared.telemetry import tracing
from shared.telemetry.metrics import LABEL_VALUES, OTHER

TRACE = "0af7651916cd43dd8448eb211c80319c"


def _values(registry: CollectorRegistry, label: str) -> set[str]:
    return {
        sample.labels[label] for family in registry.collect() for sample in family.samples if label in sample.labels
    }


def _report(engine: str) -> JobReport:
    return JobReport(
        frames=50,
        frame_rate=25.0,
        segments=1,
        stages={Stage.PREPARE: 0.5},
        total_s=2.0,
        up_bytes=1,
        down_bytes=1,
        engine=engine,
        untouched_frames=0,
    )


class _Fixed(tracing._Off):
    def traceparent(self) -> str:
        return f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def in_a_trace() -> Iterator[None]:
    tracing.use(_Fixed())
    yield
    tracing.use(None)


def test_a_thousand_engines_and_reasons_give_a_bounded_number_of_series() -> None:
    registry = CollectorRegistry()
    metrics = EdgeMetrics(registry, "here", "shop")
    for number in range(1000):
        metrics.reported(_report(f"engine-{number}"))
        error = JobError(reason=f"reason-{number}", field="", message="")
        metrics.ended(Change(state=JobState.FAILED, error=error))
    for label in ("engine", "reason"):
        values = _values(registry, label)
        assert len(values) == LABEL_VALUES + 1
        assert OTHER in values


def test_a_thousand_networks_at_the_node_give_a_bounded_number_of_series() -> None:
    registry = CollectorRegistry()
    metrics = NodeMetrics(registry, node="there", region="hall")
    for number in range(1000):
        metrics.called(f"model-{number}", 0.1)
        metrics.rendered(engine=f"engine-{number}", frames=1)
        with metrics.step("render", engine=f"engine-{number}"):
            pass
    assert len(_values(registry, "model")) == LABEL_VALUES + 1
    assert len(_values(registry, "engine")) == LABEL_VALUES + 1


async def test_requests_are_counted_by_route_whatever_is_asked_for() -> None:
    registry = CollectorRegistry()
    metrics = EdgeMetrics(registry, "here", "shop")

    async def show(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.path_params["job_id"])

    site = Watched(Starlette(routes=[Route("/jobs/{job_id}", show)]), metrics.requested)
    async with (
        serve_web(site, parse_listen("127.0.0.1:0"), grace_s=1) as address,
        aiohttp.ClientSession(f"http://{address}") as client,
    ):
        for number in range(100):
            async with client.get(f"/jobs/job-{number}") as answer:
                assert await answer.text() == f"job-{number}"
            async with client.get(f"/nothing/{number}") as answer:
                assert answer.status == 404
            async with client.request("PROPFIND", "/jobs/1") as answer:
                assert answer.status == 405
    assert _values(registry, "route") == {"/jobs/{job_id}", "other"}
    assert _values(registry, "method") == {"GET", "other"}
    assert registry.get_sample_value(
        "viseme_http_requests_total",
        {"edge": "here", "region": "shop", "method": "GET", "route": "/jobs/{job_id}", "code": "200"},
    ) == pytest.approx(100)


def test_every_figure_says_whose_it_is_and_from_where() -> None:
    registry = CollectorRegistry()
    metrics = EdgeMetrics(registry, "here", "shop")
    metrics.sample(free_bytes=lambda: 1.0, size_bytes=lambda: 2.0)
    metrics.reported(_report("viseme"))
    metrics.uploaded(Outcome.COMPLETE, 1.0)
    metrics.answered(0.1)
    for family in registry.collect():
        for sample in family.samples:
            assert sample.labels.items() >= {"edge": "here", "region": "shop"}.items(), sample


@pytest.mark.usefixtures("in_a_trace")
def test_buckets_carry_the_id_of_the_trace_that_fell_into_them() -> None:
    registry = CollectorRegistry()
    EdgeMetrics(registry, "here", "shop").reported(_report("viseme"))
    page = generate_latest(registry).decode()
    told = [line for line in page.splitlines() if f'# {{trace_id="{TRACE}"}}' in line]
    assert {line.split("_bucket")[0] for line in told} == {"viseme_edge_stage_seconds", "viseme_edge_job_seconds"}


def test_without_tracing_there_are_no_exemplars() -> None:
    registry = CollectorRegistry()
    EdgeMetrics(registry, "here", "shop").reported(_report("viseme"))
    assert "trace_id" not in generate_latest(registry).decode()
