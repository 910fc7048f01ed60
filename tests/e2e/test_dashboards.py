"""Every query of the dashboards and rules against what a running edge and node export, in a real Prometheus."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.prometheus import Prometheus, find_program, prometheus
from tests.stack import Stack

pytestmark = pytest.mark.stack

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NAME = re.compile(r"\b((?:viseme|process)_[a-z_]+|viseme:[a-z_]+:[a-z0-9_]+)\b(?:\{([^}]*)\})?")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
QUIET = ('state="failed"', 'code!="OK"', "viseme_edge_node_bits_per_second")
"""What a system in which nothing failed and no link was measured has nothing to show for."""


def _queries() -> dict[str, str]:
    """Every query of the dashboards by where it stands, as Grafana would send it."""
    found = {}
    for path in sorted((DEPLOY / "grafana" / "dashboards").iterdir()):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                words = re.sub(r"\$(region|node|edge)\b", ".*", target["expr"]).replace("$__rate_interval", "1m")
                found[f"{path.stem}: {panel['title']} {target['refId']}"] = words
    return found


QUERIES = _queries()
RULES = [DEPLOY / "prometheus" / name for name in ("recording.yml", "alerts.yml")]


@pytest.fixture(scope="module")
def stack(clip: Path, short_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    flags = ("--name", "here", "--region", "shop")
    with Stack(edge_flags=flags, node_flags=("--name", "there", "--region", "hall")) as running:
        _ask(running)
        running.dub(clip, short_speech, tmp_path_factory.mktemp("out") / "out.mp4")
        yield running


def _ask(stack: Stack) -> None:
    with urllib.request.urlopen(f"http://{stack.parts['edge'].ready.addresses['web']}/", timeout=10) as page:
        assert page.status == 200


@pytest.fixture(scope="module")
def exported(stack: Stack) -> dict[str, set[str]]:
    """The labels of every series that edge and node export."""
    labels: dict[str, set[str]] = {}
    for part in ("edge", "node"):
        with urllib.request.urlopen(f"http://{stack.parts[part].ready.addresses['metrics']}/metrics") as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    labels.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    return labels


@pytest.fixture(scope="module")
def server(
    stack: Stack, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    assert request.config.cache is not None
    program = find_program("prometheus", request.config.cache.mkdir("prometheus"))
    if program is None:
        pytest.skip("prometheus is not here, and Debian's package cannot be fetched: apt-get install prometheus")
    targets = {f"viseme-{part}": stack.parts[part].ready.addresses["metrics"] for part in ("edge", "node")}
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus(program, folder, targets, RULES) as running:
        running.wait_for("viseme_edge_node_up == 1 and on() count(viseme_node_jobs)")
        # Rates want two looks with a job between them.
        clip, speech = DEPLOY.parent / "tests" / "media" / "clip.mp4", DEPLOY / "demo" / "speech.wav"
        _ask(stack)
        stack.dub(clip, speech, folder / "out.mp4")
        running.wait_for("sum(rate(viseme_edge_job_seconds_count[1m])) > 0")
        running.wait_for("viseme:stage_share:rate5m > 0")
        yield running


OF_TLS = {"viseme_edge_tls_ends_seconds", "viseme_node_tls_ends_seconds"}
"""Exported where there is TLS: tests/e2e/test_tls.py looks at them."""


def test_dashboards_and_rules_name_only_what_is_exported(exported: dict[str, set[str]]) -> None:
    rules = "\n".join(path.read_text() for path in RULES)
    recorded = set(re.findall(r"record: (\S+)", rules))
    expressions = re.findall(r"expr: (?:>-\n)?((?:.*\n(?=\s{10,}))*.*)", rules)
    assert len(expressions) == rules.count("expr: ")
    for words in (*QUERIES.values(), *expressions):
        for name, matchers in NAME.findall(words):
            if name in recorded or name in OF_TLS:
                continue
            assert name in exported, f"{name} in {words}"
            assert set(LABEL.findall(matchers)) <= exported[name], f"{matchers} of {name} in {words}"


@pytest.mark.parametrize("where", QUERIES)
def test_every_panel_shows_something_of_a_running_system(server: Prometheus, where: str) -> None:
    words = QUERIES[where]
    result = server.query(words)
    assert result or any(quiet in words for quiet in QUIET), words


def test_shares_of_where_the_time_goes_make_a_whole(server: Prometheus) -> None:
    (whole,) = server.query("sum by (region) (viseme:stage_share:rate5m)")
    assert whole["metric"] == {"region": "shop"}
    assert float(whole["value"][1]) == pytest.approx(1.0)


def test_no_alert_fires_where_all_is_well(server: Prometheus) -> None:
    # The disk of the machine that runs this is not our doing.
    assert not server.query('ALERTS{alertname!~"Viseme.*DiskFills", alertstate="firing"}')


def test_every_dashboard_can_be_drawn(server: Prometheus, tmp_path: Path) -> None:
    drawing = [sys.executable, str(DEPLOY / "grafana" / "picture.py"), server.url, "--minutes", "1", "--interval", "1"]
    subprocess.run([*drawing, "--into", str(tmp_path)], check=True)
    drawn = {path.stem: cv2.imread(str(path)) for path in tmp_path.iterdir()}
    assert drawn.keys() == {path.stem for path in (DEPLOY / "grafana" / "dashboards").iterdir()}
    for picture in drawn.values():
        # Lines and figures have many colours, an empty board has a few.
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
