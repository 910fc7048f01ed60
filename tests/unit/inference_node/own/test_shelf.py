import json
from pathlib import Path

import pytest

from inference_node.engine.local import NoTensors
from inference_node.engine.registry import Registry
from inference_node.engine.warp import WarpEngine
from inference_node.own.card import card_of
from inference_node.own.folder import being_made, publish, remove
from inference_node.own.shelf import Shelf
from shared.errors import EngineUnavailableError, NotFoundError
from tests.unit.inference_node.own.cards import told


class Networks:
    """Remembers what is loaded; refuses the broken."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.broken: set[str] = set()

    async def add(self, name: str) -> None:
        if name in self.broken:
            raise EngineUnavailableError("broken")
        self.loaded.append(name)

    async def drop(self, name: str) -> None:
        self.loaded.remove(name)


def put(folder: Path, name: str, network: str = "0" * 64) -> None:
    with being_made(folder) as place:
        (place / "1").mkdir()
        (place / "1" / "model.onnx").write_bytes(b"x")
        publish(place, card_of(told(name=name, network=network)), folder)


@pytest.fixture
def registry() -> Registry:
    return Registry({"warp": WarpEngine(NoTensors())}, default="warp")


async def test_engines_follow_the_folder(tmp_path: Path, registry: Registry) -> None:
    networks = Networks()
    shelf = Shelf(tmp_path / "models", registry, NoTensors(), networks, period_s=1.0)
    await shelf.look()
    assert list(registry.engines) == ["warp"]
    put(tmp_path / "models", "mine")
    put(tmp_path / "models", "broken")
    networks.broken = {"own-broken"}
    await shelf.look()
    await shelf.look()
    assert list(registry.engines) == ["warp", "mine"]
    assert networks.loaded == ["own-mine"]
    before = registry.get("mine").card
    remove("mine", tmp_path / "models")
    put(tmp_path / "models", "mine", network="1" * 64)
    await shelf.look()
    after = registry.get("mine").card
    assert before.identity != after.identity
    remove("mine", tmp_path / "models")
    await shelf.look()
    assert networks.loaded == []
    with pytest.raises(NotFoundError, match="there are: warp"):
        registry.get("mine")


async def test_an_engine_that_comes_with_viseme_keeps_its_name(tmp_path: Path, registry: Registry) -> None:
    put(tmp_path, "warp")
    networks = Networks()
    await Shelf(tmp_path, registry, NoTensors(), networks, period_s=1.0).look()
    assert networks.loaded == []
    assert isinstance(registry.get("warp"), WarpEngine)


async def test_a_folder_that_cannot_be_read_changes_nothing(tmp_path: Path, registry: Registry) -> None:
    put(tmp_path, "mine")
    shelf = Shelf(tmp_path, registry, NoTensors(), Networks(), period_s=1.0)
    await shelf.look()
    card = tmp_path / "own-mine" / "card.json"
    whole = card.read_text()
    card.write_text("{")
    await shelf.look()
    assert "mine" not in registry.engines
    card.write_text(json.dumps(json.loads(whole)))
    await shelf.look()
    assert "mine" in registry.engines
