"""A minute of camera video dubbed by a minute of speech, with 50 ms and 10 Mbit/s between user and node.

Ours: client and edge at the user's place, the node at the other end. A page's: the client alone at the user's place,
edge and node at the other end; everything is uploaded, then rendered, then downloaded, and asked for every two seconds.
Both on the same link, with the same engine and settings.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.transfer import camera, table
from tests.stack import Stack
from tests.wan.network import Link, link_of_two

DELAY_MS, RATE_MBIT = 50, 10
CUTS, CUT_S = 3, 5.0
WAITING = {"wait", "queue", "total"}
"""Stages in which nothing works."""
COLUMNS = ("upload", "prepare", "send", "infer", "return", "composite", "download")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dubbed:
    """A job of ours."""

    seconds: float
    report: dict[str, Any]
    up_bytes: int
    """On the link, headers and all."""
    down_bytes: int

    def slowest(self) -> tuple[str, float]:
        """The stage that worked longest."""
        stages: dict[str, float] = self.report["stages"]
        return max(((name, took) for name, took in stages.items() if name not in WAITING), key=lambda item: item[1])


@contextmanager
def at_the_user(link: Link) -> Iterator[Stack]:
    """Edge at the user's place, node at the other end."""
    prefixes = {"edge": link.client.prefix, "node": link.server.prefix}
    with Stack(prefixes=prefixes, addresses={"node": link.server.address}) as stack:
        yield stack


def dub(
    stack: Stack, link: Link, video: Path, speech: Path, on_progress: Callable[[dict[str, Any]], None] = lambda _: None
) -> Dubbed:
    """One job by the command line beside the edge, which watches the preview."""
    output, report = stack.root / "out.mp4", stack.root / "report.json"
    before, begun = link.counters(), time.monotonic()
    command = stack.command("dub", str(video), str(speech), "-o", str(output), "--report", str(report), "--json")
    command += ["--preview", str(stack.root / "preview.mp4")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        if job.stdout is None:
            raise RuntimeError("no pipe")
        for line in job.stdout:
            on_progress(json.loads(line))
    if job.returncode:
        raise RuntimeError(f"the job ended with {job.returncode}; the edge's log:\n{stack.log('edge')[-2000:]}")
    seconds, after = time.monotonic() - begun, link.counters()
    return Dubbed(
        seconds=seconds,
        report=json.loads(report.read_text()),
        up_bytes=after.up.delivered_bytes - before.up.delivered_bytes,
        down_bytes=after.down.delivered_bytes - before.down.delivered_bytes,
    )


class Cutter:
    """Cuts a link when a quarter, a half and three quarters of the frames are composited."""

    def __init__(self, link: Link, frames: int) -> None:
        self._link = link
        self._at = [frames * number // (CUTS + 1) for number in range(1, CUTS + 1)]

    def __call__(self, told: dict[str, Any]) -> None:
        if told.get("stage") == "composite" and self._at and told.get("done_frames", 0) >= self._at[0]:
            self._at.pop(0)
            self._link.cut(seconds=CUT_S)


def by_page(link: Link, video: Path, speech: Path) -> tuple[dict[str, float], int, int]:
    """The page's way: seconds, and bytes each way."""
    prefixes = {"edge": link.server.prefix, "node": link.server.prefix}
    with Stack(prefixes=prefixes, addresses={"edge": link.server.address}) as stack:
        before = link.counters()
        command = [sys.executable, "-m", "tests.bench.transfer.page", stack.edge, str(video), str(speech)]
        done = link.client.run([*command, str(stack.root / "out.mp4")], check=True, stdout=subprocess.PIPE, text=True)
        after = link.counters()
    up, down = (
        after.up.delivered_bytes - before.up.delivered_bytes,
        after.down.delivered_bytes - before.down.delivered_bytes,
    )
    return json.loads(done.stdout), up, down


def _tell(title: str, done: Dubbed) -> None:
    name, took = done.slowest()
    table.row(
        title,
        f"{done.seconds:.1f} s",
        f"{name} {took:.1f} s",
        f"{done.seconds / took:.2f}",
        f"{done.report.get('first_preview_s', float('nan')):.1f} s",
        f"{done.up_bytes / 1e6:.2f} MB",
        f"{done.down_bytes / 1e6:.2f} MB",
        *(f"{done.report['stages'].get(stage, 0.0):.1f}" for stage in COLUMNS),
    )


def show(seconds: int) -> None:
    """The tables."""
    video, speech, other = camera.camera(seconds), camera.speech(seconds), camera.speech(seconds, camera.OTHER)
    rate = video.stat().st_size * 8 / 1e6 / seconds
    print(f"{seconds} s of 1080x1920 at {rate:.1f} Mbit/s ({video.stat().st_size / 1e6:.0f} MB); {DELAY_MS} ms,")
    print(f"{RATE_MBIT} Mbit/s each way. Bytes are those on the link, headers and all; stages in seconds at work.\n")
    table.head("job", "total", "slowest stage", "of it", "first preview", "up", "down", *COLUMNS)
    with link_of_two(delay_ms=DELAY_MS, rate_mbit=RATE_MBIT) as link:
        with at_the_user(link) as stack:
            first = dub(stack, link, video, speech)
            _tell("ours", first)
            _tell("the same video, other speech", dub(stack, link, video, other))
        with at_the_user(link) as stack:
            cut = dub(stack, link, video, speech, Cutter(link, seconds * camera.RATE))
            _tell(f"ours, {CUTS} cuts of {CUT_S:g} s", cut)
        page, up, down = by_page(link, video, speech)
    beyond = cut.seconds - first.seconds - CUTS * CUT_S
    again = (cut.report["wan"]["up_bytes"] - first.report["wan"]["up_bytes"]) / 1024
    print(f"\nThe cuts cost {beyond:+.1f} s beyond their own {CUTS * CUT_S:g} s, and {again:.0f} KiB went up again.\n")
    table.head("the same by a page", "upload", "render", "download", "total", "up", "down")
    parts = [f"{page[part]:.1f} s" for part in ("upload", "render", "download", "total")]
    table.row("", *parts, f"{up / 1e6:.2f} MB", f"{down / 1e6:.2f} MB")
    moving = (first.up_bytes + first.down_bytes) * 8 / 1e6 / RATE_MBIT
    print(f"\nThe page takes {page['total'] / first.seconds:.1f} times as long. On the link alone it moves for")
    print(
        f"{page['upload'] + page['download']:.1f} s while nothing else goes on; ours takes {moving:.1f} s of the line's"
    )
    print("time beside the work.")
