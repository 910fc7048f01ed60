"""What the wheel puts into a user's environment."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]


def test_the_wheel_has_four_top_level_names_and_says_that_it_is_typed() -> None:
    """A single-file module cannot carry ``py.typed``, so ``viseme`` is a package."""
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(built["only-include"]) == {"viseme", "shared", "edge_gateway", "inference_node"}
    for name in ("viseme", "shared"):
        assert (ROOT / name / "py.typed").exists()
