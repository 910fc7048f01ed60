"""The rules for Prometheus, by its own tool, and the dashboards against what makes them."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.prometheus import find_program

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"


@pytest.fixture(scope="module")
def promtool(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    found = find_program("promtool", request.config.cache.mkdir("prometheus"))
    if found is None:
        pytest.skip("promtool is not here, and Debian's package cannot be fetched: apt-get install prometheus")
    return found


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_dashboards", DEPLOY / "grafana" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(promtool: Path, *arguments: str) -> None:
    done = subprocess.run(
        [promtool, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_prometheus_reads_is_right(promtool: Path) -> None:
    _run(promtool, "check", "config", "prometheus.yml")


def test_alerts_fire_and_rest_as_they_should(promtool: Path) -> None:
    _run(promtool, "test", "rules", "tests/alerts.yml")


def test_every_alert_is_tried() -> None:
    rules, tests = ((DEPLOY / "prometheus" / name).read_text() for name in ("alerts.yml", "tests/alerts.yml"))
    alerts = {line.split(": ")[1] for line in rules.splitlines() if line.strip().startswith("- alert:")}
    untried = {name for name in alerts if name not in tests}
    # The other window of an objective that is tried.
    assert untried <= {"VisemeFirstProgressLateSlow", "VisemeUploadsFailFast"}


def test_dashboards_are_what_their_code_makes(make: ModuleType) -> None:
    committed = {path.name: path.read_text() for path in (DEPLOY / "grafana" / "dashboards").iterdir()}
    assert committed == make.boards(), "run: python deploy/grafana/make.py"
