"""Log lines and the metrics page."""

import json
import logging
import urllib.request
from collections.abc import Iterator

import pytest
import structlog

from shared.errors import ConflictError
from shared.rpc.address import parse_listen
from shared.telemetry.logging import LogFormat, configure_logging, get_logger
from shared.telemetry.metrics import CallMetrics, new_registry, serve_metrics, stage_histogram


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored_logging")
def test_lines_are_json_with_the_part(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(part="edge", log_format=LogFormat.JSON)
    get_logger("viseme.test").info("job accepted", job_id="j1")
    logging.getLogger("plain").warning("from %s", "elsewhere")
    get_logger("viseme.test").debug("not shown")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["job_id"], first["part"], first["level"]) == ("job accepted", "j1", "edge", "info")
    assert (second["event"], second["part"]) == ("from elsewhere", "edge")


@pytest.mark.usefixtures("restored_logging")
def test_a_terminal_gets_words(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(part="node", log_format=LogFormat.CONSOLE)
    get_logger("viseme.test").info("ready")
    assert "ready" in capsys.readouterr().err


def test_the_page_has_stages_calls_and_process() -> None:
    registry = new_registry()
    stage_histogram(registry, "viseme_stage_seconds", "Stages.", labels=("stage",)).labels("prepare").observe(0.004)
    CallMetrics(registry, {"edge": "here", "region": "shop"})("/a/B", "OK", 0.2, "")
    with serve_metrics(registry, parse_listen("127.0.0.1:0")) as address:
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            page = answer.read().decode()
        with pytest.raises(ConflictError), serve_metrics(registry, address):
            pass
    assert 'viseme_stage_seconds_bucket{le="0.005",stage="prepare"} 1.0' in page
    assert 'le="600.0"' in page
    assert 'viseme_rpc_calls_total{code="OK",edge="here",method="/a/B",region="shop"} 1.0' in page
    assert "process_resident_memory_bytes" in page
