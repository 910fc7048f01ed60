"""What a page does: uploads everything, asks every two seconds whether the work is done, and downloads everything.

    python -m tests.bench.transfer.page EDGE VIDEO SPEECH OUTPUT

Prints a JSON object of seconds.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import viseme

POLL_S = 2.0


async def run(address: str, video: Path, speech: Path, output: Path) -> dict[str, float]:
    """Do it."""
    begun = time.monotonic()
    async with viseme.connect(address) as edge:
        assets = [await edge.upload(path) for path in (video, speech)]
        uploaded = time.monotonic()
        job = await edge.dub(*assets)
        while not job.state.is_final:
            await asyncio.sleep(POLL_S)
            await job.refresh()
        done = time.monotonic()
        await job.save(output)
        saved = time.monotonic()
    return {"upload": uploaded - begun, "render": done - uploaded, "download": saved - done, "total": saved - begun}


def main() -> None:
    """Run with what the command line says."""
    address, *paths = sys.argv[1:]
    print(json.dumps(asyncio.run(run(address, *map(Path, paths)))))


if __name__ == "__main__":
    main()
