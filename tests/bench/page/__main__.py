"""Figures of the page; needs Chromium, and PyPI for Gradio.

python -m tests.bench.page [load] [progress] [cuts]
"""

import sys

from tests.bench.page import cuts, load, progress

_SIZE = 200_000_000


def main() -> None:
    """Print the tables that are asked for, or all."""
    wanted = sys.argv[1:] or ["load", "progress", "cuts"]
    if "load" in wanted:
        load.show()
    if "progress" in wanted:
        progress.show()
    if "cuts" in wanted:
        cuts.show(_SIZE)


if __name__ == "__main__":
    main()
