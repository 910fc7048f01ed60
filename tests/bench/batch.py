"""A batch of many short jobs, while first the edge and then the node is killed: ``python -m tests.bench.batch``.

One face speaks hundreds of recordings of half a second, by ``viseme batch``. The edge is killed (``kill -9``) and
started again when a third is done, the node when two thirds are. At the end every recording has one job, which has
succeeded once, and one result of its own that plays.
"""

import argparse
import asyncio
import hashlib
import json
import subprocess
import tempfile
import time
import wave
from collections import Counter
from pathlib import Path

import viseme
from tests.bench.clips import look
from tests.bench.transfer.table import head, row
from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
VIDEO = ROOT / "deploy" / "demo" / "portrait.jpg"
SPEECH = ROOT / "deploy" / "demo" / "speech.wav"
SECONDS = 0.5


def recordings(folder: Path, count: int) -> None:
    """As many recordings, each another half second of the demo's."""
    with wave.open(str(SPEECH)) as source:
        rate, parameters = source.getframerate(), source.getparams()
        width = source.getsampwidth() * source.getnchannels()
        sound = source.readframes(source.getnframes())
    length = int(rate * SECONDS)
    step = (len(sound) // width - length) // count
    for number in range(count):
        begin = number * step * width
        with wave.open(str(folder / f"take-{number:04}.wav"), "wb") as target:
            target.setparams(parameters)
            target.writeframes(sound[begin : begin + length * width])


def follow(client: subprocess.Popen[str], stack: Stack, count: int) -> tuple[list[str], list[str]]:
    """Read what the client says, and kill; gives the results that failed, and what was killed when."""
    kills = {count // 3: "edge", 2 * count // 3: "node"}
    failed, killed = [], []
    done = 0
    assert client.stdout is not None
    for line in client.stdout:
        told = json.loads(line)
        if told["event"] != "item":
            continue
        done += told["state"] == "done"
        if told["state"] != "done":
            failed.append(f"{told['output']}: {told['error']}")
        if (part := kills.pop(done, None)) is not None:
            stack.kill(part)
            stack.start(part)
            killed.append(f"{part} at {done}")
    return failed, killed


async def jobs_of(stack: Stack) -> tuple[Counter[str], Counter[str], int]:
    """How many jobs ended how, how many each recording has, and how often one succeeded again."""
    states: Counter[str] = Counter()
    speeches: Counter[str] = Counter()
    again = 0
    async with viseme.connect(stack.edge) as edge:
        async for job in edge.jobs():
            states[job.state] += 1
            speeches[job.status.speech_asset_id] += 1
            ends = [
                event async for event in job.events() if isinstance(event, viseme.StateChanged) and event.state.is_final
            ]
            again += len(ends) - 1
    return states, speeches, again


def main(count: int) -> None:
    """Run it and print what was seen."""
    with tempfile.TemporaryDirectory(prefix="viseme-batch-") as name:
        folder = Path(name)
        takes, out = folder / "takes", folder / "out"
        takes.mkdir()
        recordings(takes, count)
        with Stack() as stack:
            begun = time.monotonic()
            command = stack.command("batch", str(takes), "-o", str(out), "--video", str(VIDEO), "--json")
            with (folder / "client.log").open("w") as log:
                client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
                failed, killed = follow(client, stack, count)
                code = client.wait()
            seconds = time.monotonic() - begun
            states, speeches, again = asyncio.run(jobs_of(stack))
            results = sorted(out.glob("*.mp4"))
            frames = Counter(look(result).frames for result in results)
            distinct = len({hashlib.sha256(result.read_bytes()).digest() for result in results})
    head(
        "jobs",
        "seconds",
        "jobs a minute",
        "killed",
        "exit",
        "results",
        "distinct",
        "jobs at the edge",
        "a recording",
        "ended twice",
    )
    row(
        f"{count}",
        f"{seconds:.0f}",
        f"{count / seconds * 60:.0f}",
        ", ".join(killed),
        f"{code}",
        f"{len(results)} of " + ", ".join(f"{number} frames" for number in frames),
        f"{distinct}",
        ", ".join(f"{number} {state}" for state, number in states.items()),
        f"{max(speeches.values())}",
        f"{again}",
    )
    for line in failed:
        print(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=500)
    main(parser.parse_args().count)
