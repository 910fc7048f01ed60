"""The edge's clock jumps by days, there and back, in the middle of everything: nothing expires, no job notices."""

import hashlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.stack import Stack

pytestmark = [pytest.mark.luck, pytest.mark.stack, pytest.mark.timeout(600)]

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
DAYS = 30 * 86_400
"""More than anything is kept for."""
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


@contextmanager
def with_clock(folder: Path, offset: Path) -> Iterator[Stack]:
    """Parts of which the edge reads a clock that is off by what stands in a file."""
    if not LIBRARY.is_file():
        pytest.skip(f"there is no {LIBRARY} (Debian: apt install faketime)")
    offset.write_text("+0", encoding="ascii")
    faked = (
        "env",
        f"LD_PRELOAD={LIBRARY}",
        f"FAKETIME_TIMESTAMP_FILE={offset}",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    )
    with Stack(folder=folder, prefixes={"edge": faked, "client": ()}) as stack:
        yield stack


def _ask(stack: Stack, method: str, where: str, data: bytes | None = None, **headers: str) -> dict[str, str]:
    address = f"http://{stack.parts['edge'].ready.addresses['web']}{where}"
    sent = TUS | {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(address, data=data, headers=sent, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
        return {name.lower(): value for name, value in answer.headers.items()}


def _dub(stack: Stack, clip: Path, speech: Path, output: Path, offset: Path, jumps: list[int]) -> str:
    """Dub; the clock jumps each time that more was composited."""
    command = stack.command("dub", str(clip), str(speech), "-o", str(output), "--json")
    jumped: list[int] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        for line in job.stdout:
            if json.loads(line).get("event") in {"progress", "state"} and len(jumped) < len(jumps):
                jumped.append(jumps[len(jumped)])
                offset.write_text(f"{jumped[-1]:+d}", encoding="ascii")
        _, errors = job.communicate(timeout=60)
    assert job.returncode == 0, f"{errors}\n{stack.log('edge')[-3000:]}"
    assert jumped == jumps
    return hashlib.sha256(output.read_bytes()).hexdigest()


def test_a_clock_that_jumps_harms_nothing(clip: Path, speech: Path, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    with with_clock(tmp_path, offset) as stack:
        steady = _dub(stack, clip, speech, tmp_path / "steady.mp4", offset, [])
        where = _ask(stack, "POST", "/files/", Upload_Length="2000000")["location"]
        assert _ask(stack, "PATCH", where, bytes(1_000_000), Upload_Offset="0")["upload-offset"] == "1000000"

        padded = tmp_path / "padded.mp4"
        padded.write_bytes(clip.read_bytes() + bytes.fromhex("0000000866726565"))
        output = tmp_path / "jumped.mp4"
        jumps = [DAYS, -DAYS, 0, -3600, 3600, DAYS]
        assert _dub(stack, padded, speech, output, offset, jumps) == steady

        told = _ask(stack, "HEAD", where)
        assert told["upload-offset"] == "1000000"
        for jump in (DAYS, -DAYS, 0):
            stack.stop("edge")
            offset.write_text(f"{jump:+d}", encoding="ascii")
            stack.start("edge")
            told = _ask(stack, "HEAD", where)
            assert told["upload-offset"] == "1000000"
            expires = parsedate_to_datetime(told["upload-expires"]).timestamp()
            assert abs(expires - time.time() - jump) < 2 * 86_400  # the edge does read the other clock
        told = _ask(stack, "PATCH", where, bytes(10), Upload_Offset="1000000")
        assert told["upload-offset"] == "1000010"
        # What was brought is still there: nothing of it is sent again.
        again = stack.viseme("dub", str(padded), str(speech), "-o", str(output), "--json").stdout
        assert "skipped" in again
        assert hashlib.sha256(output.read_bytes()).hexdigest() == steady
