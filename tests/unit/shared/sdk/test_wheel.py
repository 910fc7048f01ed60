"""What the wheel puts into a user's environment."""

import tomllib
from pathlib import Path

import viseme
from shared.sdk import public

ROOT = Path(__file__).resolve().parents[4]


def test_the_wheel_has_four_top_level_names_and_a_stub() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(built["only-include"]) == {"viseme.py", "shared", "edge_gateway", "inference_node"}
    assert set(built["force-include"].values()) == {"viseme-stubs/__init__.pyi"}
    assert (ROOT / "shared" / "py.typed").exists()


def test_the_public_module_offers_all_of_it() -> None:
    assert viseme.__all__ == public.__all__
    for name in public.__all__:
        assert getattr(viseme, name) is getattr(public, name)
