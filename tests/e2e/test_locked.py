"""Edge, node and Triton as units and images run them: another user, a root that is read-only, no privileges."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.locked import USER, prefix
from tests.stack import Stack

pytestmark = pytest.mark.stack

_ROOT = Path(__file__).resolve().parents[2]
_UNITS = _ROOT / "deploy" / "systemd"


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def test_a_job_is_done_by_programs_that_may_next_to_nothing(clip: Path, short_speech: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0 or not all(shutil.which(name) for name in ("unshare", "setpriv", "systemd-analyze")):
        pytest.skip("wants root, unshare, setpriv and systemd-analyze")
    probing = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if probing.returncode:
        pytest.skip("this machine gives nobody a name space of mounts")
    prefixes = {name: prefix(tmp_path / name, _UNITS / f"viseme-{name}.service") for name in ("edge", "node")}
    with Stack(folder=tmp_path, prefixes={**prefixes, "client": ()}) as stack:
        for name in ("edge", "node"):
            pid = stack.parts[name].process.pid
            assert _status(pid, "Uid").split() == [str(USER)] * 4
            assert int(_status(pid, "CapBnd"), 16) == 0
            assert _status(pid, "NoNewPrivs") == "1"
            assert _status(pid, "Seccomp") == "2"
            mounts = Path(f"/proc/{pid}/mounts").read_text().splitlines()
            root = next(line.split()[3] for line in mounts if line.split()[1] == "/")
            assert root.split(",")[0] == "ro"
        output = tmp_path / "out.mp4"
        report = stack.dub(clip, short_speech, output, "--engine", "warp")
        assert report["frames"] > 0
        assert output.stat().st_size > 0
        assert {stack.stop("edge"), stack.stop("node")} == {0}
