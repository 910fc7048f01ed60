"""``python -m shared.cli``: the same as ``viseme``."""

from shared.cli.main import run

if __name__ == "__main__":
    run()
