"""What Prometheus sees of a job, at the edge and at the node."""

import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.stack import Stack

pytestmark = pytest.mark.stack

NO_JOBS = frozenset({"job", "job_id"})


def _page(stack: Stack, part: str) -> dict[str, Metric]:
    address = stack.parts[part].ready.addresses["metrics"]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def _sum(family: Metric, suffix: str = "", **labels: str) -> float:
    return sum(
        sample.value
        for sample in family.samples
        if sample.name == family.name + suffix and labels.items() <= sample.labels.items()
    )


def _buckets(family: Metric) -> list[float]:
    bounds = {float(sample.labels["le"]) for sample in family.samples if sample.name.endswith("_bucket")}
    return sorted(bound for bound in bounds if bound != float("inf"))


@pytest.fixture(scope="module")
def watched(clip: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """One job on parts of its own; how many jobs ran while it did, and what it reported."""
    with Stack(edge_flags=("--name", "here"), node_flags=("--name", "there")) as stack:
        over = threading.Event()
        rendering: list[float] = []

        def look() -> None:
            while not over.wait(0.2):
                rendering.append(_sum(_page(stack, "edge")["viseme_edge_jobs"], state="rendering"))

        looking = threading.Thread(target=look)
        looking.start()
        try:
            report = stack.dub(clip, speech, tmp_path_factory.mktemp("out") / "out.mp4")
        finally:
            over.set()
            looking.join()
        yield {"edge": _page(stack, "edge"), "node": _page(stack, "node"), "report": report, "rendering": rendering}


@pytest.fixture
def edge(watched: dict[str, object]) -> dict[str, Metric]:
    pages = watched["edge"]
    assert isinstance(pages, dict)
    return pages


@pytest.fixture
def node(watched: dict[str, object]) -> dict[str, Metric]:
    pages = watched["node"]
    assert isinstance(pages, dict)
    return pages


@pytest.fixture
def report(watched: dict[str, object]) -> dict[str, object]:
    told = watched["report"]
    assert isinstance(told, dict)
    return told


def test_jobs_are_counted_by_state(watched: dict[str, object], edge: dict[str, Metric]) -> None:
    rendering = watched["rendering"]
    assert isinstance(rendering, list)
    assert max(rendering) == 1
    assert _sum(edge["viseme_edge_jobs_ended"], "_total", edge="here", state="succeeded") == 1
    assert _sum(edge["viseme_edge_queue_depth"], edge="here") == 0


def test_stages_are_histograms_from_5_ms_to_10_minutes(edge: dict[str, Metric], node: dict[str, Metric]) -> None:
    stages = edge["viseme_edge_stage_seconds"]
    for stage in ("prepare", "send", "queue", "infer", "return", "composite"):
        assert _sum(stages, "_count", edge="here", engine="viseme", stage=stage) == 1, stage
    for family in (stages, edge["viseme_edge_job_seconds"], node["viseme_node_step_seconds"]):
        bounds = _buckets(family)
        assert (bounds[0], bounds[-1]) == (0.005, 600)


def test_bytes_are_counted_on_every_link(
    edge: dict[str, Metric], node: dict[str, Metric], report: dict[str, dict[str, float]], clip: Path
) -> None:
    links = edge["viseme_edge_link_bytes"]
    assert _sum(links, "_total", link="client", direction="up") >= clip.stat().st_size
    assert _sum(links, "_total", link="client", direction="down") > 0
    assert _sum(links, "_total", link="node", direction="up") == report["wan"]["up_bytes"]
    assert _sum(links, "_total", link="node", direction="down") == report["wan"]["down_bytes"]
    for direction, name in (("in", "up_bytes"), ("out", "down_bytes")):
        counted = _sum(node["viseme_node_bytes"], "_total", node="there", direction=direction)
        assert counted == pytest.approx(report["wan"][name], rel=0.1)


def test_the_node_tells_its_queue_frames_and_tritons_latency(
    node: dict[str, Metric], edge: dict[str, Metric], report: dict[str, float]
) -> None:
    assert _sum(node["viseme_node_queue_depth"], node="there") == 0
    assert _sum(node["viseme_node_queue_seconds"], "_count", node="there") > 0
    assert _sum(node["viseme_node_frames_rendered"], "_total", engine="viseme") == report["frames"]
    assert _sum(edge["viseme_edge_frames"], "_total", engine="viseme") == report["frames"]
    for model in ("speech", "viseme"):
        assert _sum(node["viseme_node_network_seconds"], "_count", node="there", model=model) > 0
    assert _sum(node["viseme_node_triton_state"], state="ready") == 1


def test_nothing_is_labelled_by_job(edge: dict[str, Metric], node: dict[str, Metric]) -> None:
    for family in (*edge.values(), *node.values()):
        for sample in family.samples:
            assert not NO_JOBS & set(sample.labels)
            assert not any("job-" in value for value in sample.labels.values())


def test_every_figure_of_ours_says_whose_it_is(edge: dict[str, Metric], node: dict[str, Metric]) -> None:
    for page, label in ((edge, "edge"), (node, "node")):
        for name, family in page.items():
            if name.startswith(f"viseme_{label}_"):
                assert all(label in sample.labels for sample in family.samples), name
