import json
import platform
import sys
from pathlib import Path

import pytest

from inference_node.triton.environment import TritonEnvironmentError, find, make


def test_a_missing_environment_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(TritonEnvironmentError, match=r"inference_node\.triton\.environment") as told:
        find(tmp_path / "nothing")
    assert "--triton-url" in str(told.value)


def test_another_platform_is_told_to_use_a_triton_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(TritonEnvironmentError, match="--triton-url"):
        make(tmp_path / "new")


def test_an_old_system_is_told_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.31"))
    with pytest.raises(TritonEnvironmentError, match="glibc"):
        make(tmp_path / "new")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(TritonEnvironmentError, match="another --target"):
        make(tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize("marker", ["", "{}", json.dumps({"root": "/elsewhere"})])
def test_a_marker_that_is_torn_or_of_another_place_does_not_count(tmp_path: Path, marker: str) -> None:
    (tmp_path / "viseme.json").write_text(marker)
    with pytest.raises(TritonEnvironmentError):
        find(tmp_path)
