"""Writes the crops of a video's face as a job would send them: ``python -m edge_gateway.cut VIDEO FOLDER``.

For whoever wants to see what crosses the link, and for training, which learns from what a node sees. FOLDER gets the
segments, ``0.mp4``, ``1.mp4``, ..., and ``crops.json`` with what is told of the video and of each.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

from edge_gateway.prepare import prepare
from shared.errors import VisemeError
from shared.media.sandbox import ChildLimits, Reach, spawn

_CPU_SECONDS: Final = 3600


def main() -> None:
    """Cut one video."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--crop-px", type=int, default=320, help="side of the crops in pixels (320)")
    parser.add_argument("--crop-scale", type=float, default=1.6, help="side of the crops in heights of the face (1.6)")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        told = asyncio.run(_cut(options.video.resolve(), options.folder, options.crop_px, options.crop_scale))
    except VisemeError as error:
        sys.exit(f"{options.video}: {error.message}")
    (options.folder / "crops.json").write_text(json.dumps(told), encoding="utf-8")


async def _cut(video: Path, folder: Path, crop_px: int, crop_scale: float) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    arguments = {"path": str(video), "crop_px": crop_px, "crop_scale": crop_scale, "limits": {}}
    limits = ChildLimits(cpu_seconds=_CPU_SECONDS)
    async with spawn(prepare, arguments, limits, Reach(reads=(str(video),))) as child:
        while (message := await child.receive()) is not None:
            kind = message.header["kind"]
            if kind == "crop":
                await asyncio.to_thread((folder / f"{message.header['index']}.mp4").write_bytes, message.payload)
            if kind != "progress":
                told.append(message.header)
    return told


if __name__ == "__main__":
    main()
