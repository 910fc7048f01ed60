"""Turns clips into what the painting network learns from: ``python -m inference_node.training.faces CLIPS FACES``.

For every video in the folder CLIPS a file FACES/NAME.npz: the crops as a node would decode them, with landmarks. The
edge cuts them (``python -m edge_gateway.cut``), in a process of its own, so that training sees what jobs send.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from inference_node.engine.viseme import VisemeEngine
from inference_node.render.clip import CropFrames, find_faces, read_pictures
from inference_node.render.messages import JobSpec, Offer
from shared.media.planes import Matrix
from shared.media.profile import BALANCED

_VIDEOS: Final = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv"))


def main() -> None:
    """Cut every clip that is not cut yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("faces", type=Path)
    options = parser.parse_args()
    options.faces.mkdir(parents=True, exist_ok=True)
    clips = sorted(path for path in options.clips.iterdir() if path.suffix.lower() in _VIDEOS)
    if not clips:
        raise SystemExit(f"no videos in {options.clips}; there may be {', '.join(sorted(_VIDEOS))}")
    for path in clips:
        target = options.faces / f"{path.stem}.npz"
        if target.exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, "-m", "edge_gateway.cut", path, folder], check=False)
            if done.returncode:
                print(f"{path.name} is left out", file=sys.stderr)  # noqa: T201 - a command's output
                continue
            write_face(Path(folder), target)
        print(target)  # noqa: T201


def write_face(folder: Path, target: Path) -> None:
    """Read the crops of one video and keep frames, landmarks and scores."""
    parts = list(_segments(folder))
    np.savez(
        target,
        crops=np.concatenate([part.crops for part in parts]),
        landmarks=np.concatenate([part.landmarks for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
    )


def _segments(folder: Path) -> Iterator[CropFrames]:
    source, *told = json.loads((folder / "crops.json").read_text(encoding="utf-8"))
    spec = JobSpec(
        job_id="training",
        engine=VisemeEngine.card.name,
        crop_px=VisemeEngine.card.crop_px,
        matrix=Matrix(source["matrix"]),
        full_range=source["full_range"],
        speech_digest=b"",
        speech_bytes=0,
        total_segments=len(told),
        patch=BALANCED.patch,
    )
    for header in told:
        if header["kind"] == "crop":
            data = (folder / f"{header['index']}.mp4").read_bytes()
            offer = _offer(header, data)
            yield find_faces(read_pictures(data, offer, spec), offer)


def _offer(header: dict[str, Any], data: bytes) -> Offer:
    return Offer(
        crop_index=header["index"],
        digest=bytes.fromhex(header["digest"]),
        size_bytes=len(data),
        first_frame=header["first_frame"],
        frame_count=header["frame_count"],
        lead_frames=header["lead"],
        trail_frames=header["trail"],
    )


if __name__ == "__main__":
    main()
