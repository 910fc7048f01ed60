from pathlib import Path

import pytest

from inference_node.settings import PREFIX, EngineRuntime, NodeSettings
from shared.errors import InvalidInputError
from shared.settings import load


def read(*argv: str, **environ: str) -> NodeSettings:
    return load(NodeSettings, program="viseme-node", prefix=PREFIX, argv=argv, environ=environ)


def test_by_default_it_listens_on_loopback_and_wants_triton() -> None:
    settings = read()
    assert settings.listen == "127.0.0.1:50061"
    assert settings.metrics == "127.0.0.1:9465"
    assert settings.engine_runtime is EngineRuntime.TRITON


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text('queue_segments = 1\nworkers = 1\ntriton_url = "gpu:8001"\n')
    settings = read("--config", str(config), "--workers", "3", VISEME_NODE_WORKERS="2", VISEME_NODE_QUEUE_SEGMENTS="2")
    assert (settings.workers, settings.queue_segments, settings.triton_url) == (3, 2, "gpu:8001")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidInputError) as told:
        read("--workers", "0", VISEME_NODE_PATCH_CRF="99", VISEME_NODE_NONSENSE="1")
    assert all(name in str(told.value) for name in ("--workers", "VISEME_NODE_PATCH_CRF", "VISEME_NODE_NONSENSE"))
