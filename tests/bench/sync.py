"""What the sync score says of real lips, of rendered ones, and of results that are wrong.

    python -m tests.bench.sync [--engine NAME]

First the scale: the lips of the shared clips with their own sound and with every other (``edge_gateway/sync.py`` has
its constants from here; run it again when the speech network changes). Then two results of the real edge, node and
Triton, as their jobs scored them; and the same results made wrong: with another speech under them, with the sound late
and early, and with the lips of the source, which speak something else or nothing.
"""

import argparse
import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_gateway.jobs.job import SyncScore
from edge_gateway.sync import Lips, sync_score
from inference_node.engine.local import LocalTensors
from inference_node.engine.registry import MODEL_REPOSITORY
from inference_node.speech.listener import Listener
from inference_node.speech.mouth import MouthTrack, Shape
from shared.media.audio import SPEECH_RATE, open_sound
from shared.media.limits import MediaLimits
from tests.bench.aperture import aperture, mouth_points
from tests.stack import Stack

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
REAL = ("v01", "v03", "v05")
"""Clips whose lips speak their sound."""
FACES = (*REAL, "v11")
"""v11's lips do not move."""
SPEECHES = ("v01", "v03", "v05", "a03", "a05", "a06")
RESULTS = (("v05", "a03"), ("v01", "a05"))
SHIFTS_MS = (-400, -300, -200, -100, 100, 200, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mouth:
    """A video's lips; apertures are -1 where no face is seen."""

    times_s: npt.NDArray[np.float64]
    seen: npt.NDArray[np.float64]


def file_of(name: str) -> Path:
    """The shared clip of a short name."""
    return next(MEDIA.glob(f"{name}_*"))


def lips_of(path: Path) -> Mouth:
    """Look at a video's lips."""
    times, points = mouth_points(path)
    return Mouth(times_s=times, seen=np.array([-1.0 if one is None else aperture(one) for one in points]))


def heard(path: Path) -> MouthTrack:
    """What a recording asks of the lips."""
    with open_sound(path, MediaLimits()) as sound:
        samples = np.concatenate([block[0] for block in sound.blocks(rate=SPEECH_RATE, channels=1)])
    return asyncio.run(Listener(LocalTensors(MODEL_REPOSITORY, observe=lambda *_: None)).hear(samples))


def score(mouth: Mouth, track: MouthTrack, *, late_ms: float = 0.0) -> str:
    """The score of lips with a speech that was moved, over what both cover, as cells of a table."""
    asked_at = mouth.times_s - late_ms / 1000
    both = (asked_at >= 0) & (asked_at < len(track.shapes) / 100)
    asked = track.at(asked_at)[:, Shape.APERTURE].astype(np.float64)
    found = sync_score(Lips(times_s=mouth.times_s[both], seen=mouth.seen[both], asked=asked[both]))
    return cells(found) if isinstance(found, SyncScore) else f"{found.value} | | |"


def cells(found: SyncScore) -> str:
    """A score as cells of a table."""
    lag = "" if found.lag_ms is None else f"{found.lag_ms:+d} ms"
    return f"{found.score} | {lag} | {found.correlation:.2f} | {found.amplitude:.2f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="")
    engine = parser.parse_args().engine
    mouths = {name: lips_of(file_of(name)) for name in FACES}
    tracks = {name: heard(file_of(name)) for name in SPEECHES}
    print("| lips of | sound of | score | lag | correlation | amplitude |\n|---|---|---|---|---|---|")
    for face in FACES:
        for speech in SPEECHES:
            mark = " (its own)" if face == speech else ""
            print(f"| {face} | {speech}{mark} | {score(mouths[face], tracks[speech])} |", flush=True)
    print("\n| result | | score | lag | correlation | amplitude |\n|---|---|---|---|---|---|")
    with Stack() as stack, tempfile.TemporaryDirectory() as folder:
        for face, speech in RESULTS:
            output = Path(folder) / f"{face}-{speech}.mp4"
            report = stack.dub(file_of(face), file_of(speech), output, *(["--engine", engine] if engine else []))
            name = f"{face} by {speech}"
            print(f"| {name} | as the job scored it | {cells(SyncScore(**report['sync']))} |", flush=True)
            rendered = lips_of(output)
            print(f"| {name} | as decoded from the file | {score(rendered, tracks[speech])} |")
            print(f"| {name} | lips of the source instead | {score(mouths[face], tracks[speech])} |")
            for other in (other for other in SPEECHES if other != speech):
                print(f"| {name} | speech of {other} instead | {score(rendered, tracks[other])} |")
            for shift in SHIFTS_MS:
                print(f"| {name} | sound {shift:+d} ms late | {score(rendered, tracks[speech], late_ms=shift)} |")


if __name__ == "__main__":
    main()
