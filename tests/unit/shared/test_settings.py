"""Flags before environment before file before defaults; every fault at once."""

from pathlib import Path

import pytest
from pydantic import Field

from shared.errors import InvalidInputError
from shared.settings import ServiceSettings, load


class Example(ServiceSettings):
    listen: str = Field(default="127.0.0.1:1", description="where 100 % of clients call")
    nodes: tuple[str, ...] = Field(default=(), description="nodes")
    crop_px: int = Field(default=256, ge=64, description="side")


def read(*argv: str, environ: dict[str, str] | None = None) -> Example:
    return load(Example, program="example", prefix="VISEME_X_", argv=argv, environ=environ or {})


def test_defaults_hold_where_nothing_is_said() -> None:
    settings = read(environ={"PATH": "/bin"})
    assert (settings.listen, settings.nodes, settings.crop_px, settings.insecure) == ("127.0.0.1:1", (), 256, False)


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('listen = "file:1"\ncrop-px = 65\nnodes = ["f:1"]\n')
    environ = {"VISEME_X_CROP_PX": "66", "VISEME_X_NODES": "a:1, b:2", "VISEME_X_CONFIG": str(file)}
    settings = read("--crop-px", "67", "--insecure", environ=environ)
    assert settings.listen == "file:1"
    assert settings.nodes == ("a:1", "b:2")
    assert settings.crop_px == 67
    assert settings.insecure
    assert read("--nodes", "c:1", "--nodes", "d:1", environ=environ).nodes == ("c:1", "d:1")


def test_every_fault_is_told_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("unknown_key = 1\n")
    with pytest.raises(InvalidInputError) as raised:
        read("--config", str(file), "--crop-px", "9", environ={"VISEME_X_LISTNE": "a", "VISEME_X_LOG_LEVEL": "loud"})
    text = str(raised.value)
    for source in (f"{file}: unknown_key", "--crop-px", "VISEME_X_LISTNE", "VISEME_X_LOG_LEVEL"):
        assert source in text


def test_a_file_that_is_not_there_is_a_fault() -> None:
    with pytest.raises(InvalidInputError, match=r"nowhere\.toml"):
        read("--config", "/nowhere.toml")


def test_help_shows_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read("--help")
    shown = capsys.readouterr().out
    assert "--crop-px" in shown
    assert "100 %" in shown
