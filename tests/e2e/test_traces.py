"""One job as one tree of spans, from the command line through edge and node to the calls of Triton."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector import Collector, Seen, collector
from tests.stack import Stack

pytestmark = pytest.mark.stack

RENDER = "viseme.inference.v1.RenderService/Render"
SUBMIT = "viseme.gateway.v1.JobService/SubmitJob"


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(traces: Collector) -> Iterator[Stack]:
    flags = ("--otlp-endpoint", traces.endpoint, "--log-format", "json")
    with Stack(
        edge_flags=(*flags, "--name", "here", "--region", "shop"),
        node_flags=(*flags, "--name", "there", "--region", "hall"),
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def spans(
    traced: Stack, traces: Collector, clip: Path, short_speech: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Seen]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISEME_OTLP_ENDPOINT", traces.endpoint)
        traced.dub(clip, short_speech, tmp_path_factory.mktemp("traced") / "out.mp4")
    wanted = {"viseme dub", "job", "segment", "triton viseme"}
    return traces.wait(lambda seen: wanted <= {one.name for one in seen} and _count(seen, RENDER) == 2)


def _count(spans: list[Seen], name: str) -> int:
    return sum(one.name == name for one in spans)


def _one(spans: list[Seen], name: str, service: str) -> Seen:
    (found,) = [one for one in spans if one.name == name and one.service == service]
    return found


def _above(spans: list[Seen], one: Seen) -> list[str]:
    """The names of all that a span lies in, from the nearest."""
    by_id = {span.span_id: span for span in spans}
    names = []
    while one.parent_id:
        one = by_id[one.parent_id]
        names.append(one.name)
    return names


def test_client_edge_wan_node_and_triton_are_one_tree(spans: list[Seen]) -> None:
    call = next(one for one in spans if one.name == "triton viseme" and "segment" in _above(spans, one))
    assert call.service == "viseme-node"
    assert _above(spans, call)[-6:] == ["segment", RENDER, RENDER, "job", SUBMIT, "SubmitJob"] or _above(spans, call)[
        -7:
    ] == ["segment", RENDER, RENDER, "job", SUBMIT, "SubmitJob", "viseme dub"]
    root = _one(spans, "viseme dub", "viseme-client")
    assert not root.parent_id
    assert {one.trace_id for one in spans if one.name in {"job", "segment", RENDER}} == {root.trace_id}


def test_every_stage_of_edge_and_node_is_in_the_tree(spans: list[Seen]) -> None:
    root = _one(spans, "viseme dub", "viseme-client")
    names = {(one.service, one.name) for one in spans if one.trace_id == root.trace_id}
    at_edge = ("prepare", "send", "return", "composite", "viseme.gateway.v1.AssetService/Upload")
    at_node = ("queue", "decode", "landmarks", "hear", "render", "encode", "triton speech")
    assert {("viseme-edge", name) for name in at_edge} <= names
    assert {("viseme-node", name) for name in at_node} <= names
    job = _one(spans, "job", "viseme-edge")
    assert (job.attributes["edge"], job.attributes["region"]) == ("here", "shop")
    assert 0 < job.seconds <= root.seconds


def test_questions_between_edge_and_node_are_no_traces(spans: list[Seen]) -> None:
    assert not any("GetStatus" in one.name or "Health" in one.name for one in spans)


def test_log_lines_of_a_job_carry_its_id_and_its_trace(traced: Stack, spans: list[Seen]) -> None:
    job = _one(spans, "job", "viseme-edge")
    lines = [json.loads(line) for line in traced.log("edge").splitlines() if line.startswith("{")]
    (ended,) = [line for line in lines if line["event"] == "job ended"]
    assert ended["job_id"] == job.attributes["job_id"]
    assert ended["trace_id"] == job.trace_id


def test_buckets_lead_to_traces(traced: Stack, spans: list[Seen]) -> None:
    root = _one(spans, "viseme dub", "viseme-client")
    for part, name in (("edge", "viseme_edge_job_seconds"), ("node", "viseme_node_queue_seconds")):
        address = traced.parts[part].ready.addresses["metrics"]
        asked = urllib.request.Request(
            f"http://{address}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - our own page
            lines = [line for line in answer.read().decode().splitlines() if line.startswith(f"{name}_bucket")]
        assert any(f'# {{trace_id="{root.trace_id}"}}' in line for line in lines), name


def test_a_segment_is_a_few_dozen_spans_at_most(spans: list[Seen]) -> None:
    root = _one(spans, "viseme dub", "viseme-client")
    count = sum(one.trace_id == root.trace_id for one in spans)
    assert count < 60 * (1 + _count(spans, "segment"))
