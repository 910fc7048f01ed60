"""A result of the real programs says that it was generated, to people and to programs, and that can be checked."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from shared.cli.exits import ExitCode
from shared.provenance.boxes import boxes_in
from tests.stack import Stack

pytestmark = pytest.mark.stack

PRODUCER = "某某公司"
LABEL = ("--label", "on", "--label-language", "zh", "--label-place", "top-right", "--segment-seconds", "0.7")


@pytest.fixture(scope="module")
def honest() -> Iterator[Stack]:
    with Stack(edge_flags=(*LABEL, "--aigc-producer", PRODUCER, "--name", "edge of the north")) as running:
        yield running


@pytest.fixture(scope="module")
def result(honest: Stack, portrait: Path, speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("honest") / "out.mp4"
    honest.dub(portrait, speech, output)
    return output


def verify(*arguments: str | Path) -> tuple[int, str, str]:
    """``viseme verify``, which needs no edge."""
    command = [sys.executable, "-m", "shared.cli", "verify", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def finding(*arguments: str | Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(verify(*arguments, "--json")[1])
    return told


def test_it_says_so_to_programs(honest: Stack, result: Path) -> None:
    code, words, _ = verify(result)
    assert code == ExitCode.OK
    assert "holds" in words
    assert "edge of the north" in words
    told = finding(result, "--trust", honest.root / "edge" / "signing" / "certificate.pem")
    assert (told["standing"], told["signed"]["trust"], told["signed"]["generated"]) == ("holds", "trusted", True)
    assert (told["aigc"]["Label"], told["aigc"]["ContentProducer"]) == ("1", PRODUCER)
    assert told["aigc"]["ProduceID"] in honest.log("edge"), "the operator finds whose job it was"
    assert told["tag"]["engine"] == "viseme"
    with av.open(str(result)) as film:
        assert json.loads(film.metadata["AIGC"]) == told["aigc"]


def test_it_says_so_to_people_for_two_seconds(result: Path) -> None:
    changes, was = [], None
    with av.open(str(result)) as film:
        for frame in film.decode(video=0):
            corner = frame.to_ndarray(format="gray")[15:45, -120:-20].astype(int)
            if was is not None and np.abs(corner - was).mean() > 20:
                changes.append(frame.time)
            was = corner
    assert changes == [pytest.approx(2.0, abs=0.001)]


def test_it_begins_to_play_at_once(result: Path) -> None:
    with result.open("rb") as file:
        kinds = [box.kind for box in boxes_in(file, 0, result.stat().st_size)]
    assert kinds[:3] == ["ftyp", "uuid", "moov"]


def test_a_change_is_told(result: Path, tmp_path: Path) -> None:
    data = bytearray(result.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "changed.mp4").write_bytes(data)
    code, words, _ = verify(tmp_path / "changed.mp4")
    assert code == ExitCode.BROKEN
    assert "the film is not the one that was signed" in words


def test_a_copy_without_its_manifest_is_told(result: Path, tmp_path: Path) -> None:
    with av.open(str(result)) as film, av.open(str(tmp_path / "copy.mp4"), "w") as copy:
        stream = copy.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(film.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    code, words, _ = verify(tmp_path / "copy.mp4")
    assert code == ExitCode.UNSIGNED
    assert "somebody has removed it" in words


def test_what_is_no_film_is_refused(speech: Path, tmp_path: Path) -> None:
    for path in (speech, tmp_path / "none.mp4"):
        code, _, errors = verify(path)
        assert code == ExitCode.BAD_INPUT
        assert "file: " in errors


def test_an_edge_with_a_bad_certificate_does_not_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_gateway", "--data", str(tmp_path / "data")]
    for name in ("listen", "web", "metrics"):
        command += [f"--{name}", "127.0.0.1:0"]
    (tmp_path / "key.pem").write_text("nothing")
    flags = ["--sign-certificate", str(tmp_path / "key.pem"), "--sign-key", str(tmp_path / "key.pem")]
    for bad, words in (
        (flags, "no certificate in PEM"),
        (flags[:2], "both or neither"),
        (["--label", "on", "--label-text", "☃"], "the font has no ☃"),
        (["--label-seconds", "1"], "greater than or equal to 2"),
    ):
        done = subprocess.run([*command, *bad], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert words in done.stderr


def test_prometheus_is_told_until_when_it_signs(honest: Stack) -> None:
    address = honest.parts["edge"].ready.addresses["metrics"]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        (line,) = re.findall(r"^viseme_edge_certificate_ends_seconds\{.*\} (.*)$", answer.read().decode(), re.MULTILINE)
    assert float(line) > time.time() + 3600 * 24 * 3650
