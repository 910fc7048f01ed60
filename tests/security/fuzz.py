"""Damaged files through everything that opens files: probe, glance, speech, face tracking, in the real sandbox.

    python -m tests.security.fuzz [--inputs 10000] [--first 0] [--keep tests/security/seeds]

A file may be taken or refused, and a child may die of it behind its walls: all that is an answer. A *fault* is an error
that is ours (a traceback in the child), an answer that does not come, or an exception in the parent. Files that gave a
fault, or of which a child died, are kept as seeds, and ``test_hostile_media.py`` opens them again.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_gateway.jobs.children import PRELOAD
from edge_gateway.prepare import prepare
from shared.errors import DeadlineError, InternalError, InvalidInputError, VisemeError
from shared.media.forkserver import TOO_MUCH, ChildLimits, Task
from shared.media.probe import MediaInfo, glance_task, probe_task
from shared.media.profile import BALANCED, speech_task
from shared.media.sandbox import Reach, Sandbox
from tests.security.mutations import mutated
from tests.security.samples import make_samples

SEEDS = Path(__file__).with_name("seeds")
LIMITS = ChildLimits(address_space_bytes=2 << 30, cpu_seconds=20, open_files=64, file_bytes=1 << 20)
MEDIA = {"frame_pixels": 1 << 20, "duration_seconds": 60.0, "decoded_pixels": 1 << 28, "photo_pixels": 1 << 22}
ANSWER_S = 60.0
WORKERS = 2
TAKEN, REFUSED, DIED = "taken", "refused", "died"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one file."""

    kind: str
    """``taken``, ``refused``, ``died`` (a child, behind its walls), or ``fault: ...``."""
    words: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether something of ours is wrong."""
        return self.kind.startswith("fault")


async def judge(sandbox: Sandbox, path: Path) -> Verdict:
    """Open a file in every way that the edge opens files."""
    arguments: dict[str, Any] = {"path": str(path), "field": "file", "limits": MEDIA}
    try:
        await _answered(sandbox, glance_task, arguments)
    except InvalidInputError as error:
        if TOO_MUCH in error.message:
            return Verdict(kind=DIED, words=f"glance: {error.message}")
    except (InternalError, DeadlineError) as error:
        return Verdict(kind=f"fault: glance, {error.reason}", words=error.message)
    try:
        step = "probe"
        info = MediaInfo.from_header((await _answered(sandbox, probe_task, arguments))[0])
        if info.width:
            step = "prepare"
            asked = {"crop_px": 320, "crop_scale": 1.6, "segment_seconds": 2.0}
            await _answered(sandbox, prepare, arguments | asked)
        if info.has_audio:
            step = "speech"
            coding = {"codec": str(BALANCED.speech.codec), "bitrate": BALANCED.speech.bitrate}
            await _answered(sandbox, speech_task, arguments | coding)
    except InvalidInputError as error:
        died = TOO_MUCH in error.message
        return Verdict(kind=DIED if died else REFUSED, words=f"{step}: {error.message}")
    except VisemeError as error:
        return Verdict(kind=f"fault: {step}, {error.reason}", words=error.message)
    return Verdict(kind=TAKEN)


async def _answered(sandbox: Sandbox, task: Task, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """All that a task says."""
    reach = Reach(reads=(arguments["path"],))
    try:
        async with asyncio.timeout(ANSWER_S), sandbox.spawn(task, arguments, LIMITS, reach) as child:
            told = []
            while (message := await child.receive()) is not None:
                told.append(message.header)
            return told
    except TimeoutError:
        raise DeadlineError(f"no answer within {ANSWER_S:g} s", field="file") from None


def inputs(samples: list[bytes], first: int, count: int) -> Iterator[tuple[int, int, bytes]]:
    """Seeds, the number of the file that was damaged, and what became of it."""
    for seed in range(first, first + count):
        number = seed % len(samples)
        yield seed, number, mutated(samples[number], samples, seed)


async def fuzz(first: int, count: int, keep: Path | None) -> Counter[str]:
    """Judge so many damaged files; prints faults and deaths as they come."""
    verdicts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "samples").mkdir()
        paths = await asyncio.to_thread(make_samples, folder / "samples")
        samples = [path.read_bytes() for path in paths]
        waiting = inputs(samples, first, count)
        async with Sandbox(preload=PRELOAD) as sandbox:

            async def work(worker: int) -> None:
                for seed, number, data in waiting:
                    path = folder / f"{worker}-{paths[number].name}"
                    path.write_bytes(data)
                    verdict = await judge(sandbox, path)
                    verdicts[verdict.kind] += 1
                    if verdict.is_fault or verdict.kind == DIED:
                        print(f"{seed} {paths[number].name}: {verdict.kind}: {verdict.words}", flush=True)
                        if keep is not None:
                            (keep / f"{seed}-{paths[number].name}").write_bytes(data)

            async with asyncio.TaskGroup() as tasks:
                for worker in range(WORKERS):
                    tasks.create_task(work(worker))
    return verdicts


def main() -> None:
    """Fuzz, and say what came of it; 1 where something of ours is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", type=Path, help="where files that gave a fault, or of which a child died, are put")
    options = parser.parse_args()
    verdicts = asyncio.run(fuzz(options.first, options.inputs, options.keep))
    for kind, count in verdicts.most_common():
        print(f"{count:7d} {kind}")
    sys.exit(any(kind.startswith("fault") for kind in verdicts))


if __name__ == "__main__":
    main()
