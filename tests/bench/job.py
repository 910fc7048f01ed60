"""One job, end to end: frames a second, where the time goes, what crosses the WAN, and memory over ten minutes.

    python -m tests.bench.job             # v03 dubbed with a03, then the same video with a05
    python -m tests.bench.job --memory    # a looped clip with ten minutes of speech

The first prints bytes a minute of result between edge and node and each stage's share; the second samples the resident
memory of the edge (with its sandboxed children) and of the node (with Triton) once a second.
"""

import argparse
import subprocess
import tempfile
import time
import wave
from pathlib import Path

import psutil

from tests.stack import Stack

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
VIDEO = MEDIA / "v03_latentsync_demo3_1080x1920_30.mp4"
SPEECH = MEDIA / "a03_en_a2f_claire_neutral_13s_16k.wav"
OTHER = MEDIA / "a05_zh_sadtalker_news_8s_48k_stereo.wav"
LOOPED = MEDIA / "v07_dhlive_000002_720x1080_25.mp4"
MEMORY_SECONDS = 600


def show_job() -> None:
    """The same video twice, with two speeches."""
    print("| job | frames | s | frames/s | up MB/min | down MB/min |\n|---|---|---|---|---|---|")
    shares: list[tuple[str, dict[str, float]]] = []
    with Stack() as stack, tempfile.TemporaryDirectory() as folder:
        for title, speech in (("v03 by a03", SPEECH), ("v03 again, by a05", OTHER)):
            report = stack.dub(VIDEO, speech, Path(folder) / "out.mp4")
            total = report["stages"]["total"]
            minutes = report["frames"] / report["fps"] / 60
            wan = [report["wan"][way] / 1e6 / minutes for way in ("up_bytes", "down_bytes")]
            speed = f"{report['frames']} | {total:.1f} | {report['frames'] / total:.1f}"
            print(f"| {title} | {speed} | {wan[0]:.2f} | {wan[1]:.2f} |", flush=True)
            shares.append((title, report["stages"]))
    names = list(shares[0][1])
    print("\n| job | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for title, stages in shares:
        print(f"| {title} | " + " | ".join(f"{stages[name]:.2f} s" for name in names) + " |")


def long_speech(path: Path, seconds: int) -> None:
    """Write the short speech over and over until it is ``seconds`` long."""
    with wave.open(str(SPEECH)) as source:
        parameters, once = source.getparams(), source.readframes(source.getnframes())
    width = parameters.sampwidth * parameters.nchannels
    wanted = seconds * parameters.framerate * width
    with wave.open(str(path), "wb") as target:
        target.setparams(parameters)
        target.writeframes((once * (wanted // len(once) + 1))[:wanted])


def resident(pid: int) -> float:
    """MiB that a process and its children hold alone (unique set size), so that shared pages count once."""
    total = 0
    process = psutil.Process(pid)
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total / (1 << 20)


def show_memory() -> None:
    """A looped clip with ten minutes of speech."""
    with Stack() as stack, tempfile.TemporaryDirectory() as folder:
        speech = Path(folder) / "long.wav"
        long_speech(speech, MEMORY_SECONDS)
        output = str(Path(folder) / "out.mp4")
        command = stack.command("dub", str(LOOPED), str(speech), "-o", output, "--fit", "loop", "--json")
        samples: list[tuple[float, float, float]] = []
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as job:
            while job.poll() is None:
                pids = [stack.parts[name].process.pid for name in ("edge", "node")]
                samples.append((time.monotonic() - began, resident(pids[0]), resident(pids[1])))
                time.sleep(1)
        if job.returncode:
            raise SystemExit(f"the job ended with {job.returncode}")
    print(f"{MEMORY_SECONDS} s of speech in {samples[-1][0]:.0f} s; MiB held by edge and node, means over 15 s")
    print("| after | edge | node |\n|---|---|---|")
    for mark in (15.0, 60.0, *(samples[-1][0] * share for share in (0.25, 0.5, 0.75)), samples[-1][0] - 10):
        near = [(edge, node) for moment, edge, node in samples if abs(moment - mark) <= 7.5]
        means = [sum(values) / len(near) for values in zip(*near, strict=True)]
        print(f"| {mark:.0f} s | {means[0]:.0f} | {means[1]:.0f} |")


def main() -> None:
    """Print one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="the ten-minute job")
    if parser.parse_args().memory:
        show_memory()
    else:
        show_job()


if __name__ == "__main__":
    main()
