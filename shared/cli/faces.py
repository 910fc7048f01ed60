"""``viseme faces``: the videos and photos that jobs used."""

import json

from shared.cli.assets import shown, size_words
from shared.cli.board import duration
from shared.cli.edges import Given, some_edge
from shared.cli.jobs import plain
from shared.cli.places import Places
from shared.sdk.model import Face


async def list_faces(given: Given, where: Places, *, limit: int, as_json: bool) -> None:
    """Show faces, the one first that was used last."""
    async with some_edge(given, where) as edge:
        if not as_json:
            print(f"{'asset':<64} {'used':<16} {'jobs':>5} {'size':>10} {'length':>8} name")
        count = 0
        async for face in edge.faces():
            print(json.dumps(plain(face)) if as_json else _line(face), flush=True)
            count += 1
            if count == limit:
                return


def _line(face: Face) -> str:
    asset = face.asset
    seconds = asset.media.duration_seconds if asset.media is not None else 0.0
    length = duration(seconds) if seconds else ""
    used = face.used.astimezone().strftime("%Y-%m-%d %H:%M")
    name = shown(asset.name)
    return f"{asset.id:<64} {used:<16} {face.jobs:>5} {size_words(asset.size_bytes):>10} {length:>8} {name}".rstrip()
