import subprocess
import sys
from pathlib import Path

from shared.lock import locked


def test_a_node_whose_folder_is_taken_says_so_and_ends(tmp_path: Path) -> None:
    listens = ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
    command = [sys.executable, "-m", "inference_node", "--data", str(tmp_path), "--engine-runtime", "local", *listens]
    with locked(tmp_path):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"viseme-node: data: another viseme on this machine uses {tmp_path}")
    assert "Traceback" not in ended.stderr
