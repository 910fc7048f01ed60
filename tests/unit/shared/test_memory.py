import subprocess
import sys

CODE = """
import sys
from shared.memory import KEEP_MESSAGES, set_malloc

def mapped():
    with open("/proc/self/maps") as maps:
        return sum(1 for _ in maps)

set_malloc(KEEP_MESSAGES, {})
before = mapped()
blocks = [bytes([number]) * (4 << 20) for number in range(8)]
print(len(blocks), mapped() - before)
"""


def test_large_blocks_come_from_the_heap_once_the_program_says_so() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["8", "0"]
