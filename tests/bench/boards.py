"""The dashboards' pictures: real programs at work for some minutes, a real Prometheus that reads them.

``python -m tests.bench.boards [--minutes 6] [--into FOLDER]``. Jobs run one or two at a time with breaks between them,
one speech is refused, one file is uploaded, the page is asked for, and the node goes away for a while.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.prometheus import Prometheus, find_program, prometheus
from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
DEMO, CLIP = ROOT / "deploy" / "demo", ROOT / "tests" / "media" / "clip.mp4"
RULES = [ROOT / "deploy" / "prometheus" / name for name in ("recording.yml", "alerts.yml")]
DRAW = ROOT / "deploy" / "grafana" / "picture.py"


CALM_S = 10.0
"""Between two rounds of jobs, so that the lines show work and rest."""
ABSENCE_AFTER = 3
"""Rounds, after which the node is killed once."""


def _work(stack: Stack, server: Prometheus, folder: Path, until: float) -> None:
    web = stack.parts["edge"].ready.addresses["web"]
    for number in itertools.count(1):
        if time.monotonic() >= until:
            return
        for path in ("/", "/jobs", "/assets"):
            with urllib.request.urlopen(f"http://{web}{path}", timeout=10) as answer:
                answer.read()
        dubs = [
            subprocess.Popen(
                stack.command(
                    "dub", str(video), str(DEMO / "speech.wav"), "-o", str(folder / f"{number}-{video.stem}.mp4")
                ),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for video in (DEMO / "portrait.jpg", CLIP)[: 1 + number % 2]
        ]
        stack.viseme("dub", str(CLIP), str(ROOT / "pyproject.toml"), "-o", str(folder / "bad.mp4"), check=False)
        for dub in dubs:
            dub.wait()
        if number == ABSENCE_AFTER:
            stack.kill("node")
            server.wait_for("viseme_edge_node_up == 0")
            stack.start("node")
        print(f"{number} rounds of jobs", flush=True)
        time.sleep(CALM_S)


def main() -> None:
    """Work, then draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--into", type=Path, default=DRAW.with_name("pictures"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = find_program("prometheus", folder)
        if program is None:
            sys.exit("prometheus is not here, and Debian's package cannot be fetched: apt-get install prometheus")
        flags = ("--name", "here", "--region", "shop")
        with Stack(edge_flags=flags, node_flags=("--name", "there", "--region", "hall")) as stack:
            targets = {f"viseme-{part}": stack.parts[part].ready.addresses["metrics"] for part in ("edge", "node")}
            (folder / "server").mkdir()
            with prometheus(program, folder / "server", targets, RULES) as server:
                server.wait_for("viseme_edge_node_up == 1")
                _work(stack, server, folder, time.monotonic() + 60 * options.minutes)
                drawing = [sys.executable, str(DRAW), server.url, "--interval", "5"]
                span = ["--minutes", f"{options.minutes + 0.5:g}", "--into", str(options.into)]
                subprocess.run([*drawing, *span], check=True)


if __name__ == "__main__":
    main()
