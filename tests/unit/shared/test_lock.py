import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import ConflictError, InvalidInputError
from shared.lock import locked

HOLD = """
import sys
from pathlib import Path
from shared.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_and_free_again_once_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "data")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConflictError) as caught, locked(tmp_path / "data"):
            pass
        other.kill()
        other.wait()
    assert caught.value.field == "data"
    with locked(tmp_path / "data"):
        pass


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError) as caught, locked(tmp_path / "file" / "data"):
        pass
    assert caught.value.field == "data"
