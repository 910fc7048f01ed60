"""`viseme dub` of what lies at the edge already."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.stack import Stack

pytestmark = pytest.mark.stack


def test_a_name_gives_what_an_upload_gives(stack: Stack, portrait: Path, short_speech: Path, tmp_path: Path) -> None:
    stack.dub(Path("lib:demo/portrait.jpg"), short_speech, tmp_path / "named.mp4")
    stack.dub(portrait, short_speech, tmp_path / "brought.mp4")
    named, brought = ((tmp_path / name).read_bytes() for name in ("named.mp4", "brought.mp4"))
    assert hashlib.sha256(named).hexdigest() == hashlib.sha256(brought).hexdigest()
    listed = map(json.loads, stack.viseme("assets", "library", "demo", "--json").stdout.splitlines())
    assert [file["name"] for file in listed if file["asset_id"]] == ["lib:demo/portrait.jpg"]
    refused = stack.viseme("dub", "lib:demo/nobody.jpg", str(short_speech), "-o", str(tmp_path / "no.mp4"), check=False)
    assert refused.returncode == 3
    assert "video: lib:demo/nobody.jpg" in refused.stderr
