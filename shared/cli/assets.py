"""``viseme assets``: the files that an edge keeps."""

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from shared.cli.command import EdgeOption, JsonOption, places, run_command
from shared.cli.places import Places

if TYPE_CHECKING:
    from shared.sdk.model import Asset

assets = typer.Typer(
    name="assets",
    help="The files that the edge keeps: what was uploaded or found there, and finished videos.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Kind(StrEnum):
    """What an asset holds."""

    VIDEO = "video"
    AUDIO = "audio"
    PHOTO = "photo"
    RESULT = "result"


@assets.command("list")
def list_(
    edge: EdgeOption = None,
    kind: Annotated[Kind | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List assets: id, kind, size, length, state, name."""
    run_command(lambda _display: _list(edge, places(), kind=kind, limit=limit, as_json=as_json), as_json=as_json)


@assets.command("rm")
def remove(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, or beginnings of 6 or more letters.")],
    edge: EdgeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete assets that no unfinished job needs."""
    run_command(lambda _display: _remove(edge, places(), ids, as_json=as_json), as_json=as_json)


async def _list(given: str | None, where: Places, *, kind: Kind | None, limit: int, as_json: bool) -> None:
    from shared.cli.jobs import plain, some_edge
    from shared.sdk.model import AssetKind

    async with some_edge(given, where) as edge:
        if not as_json:
            print(f"{'asset':<64} {'kind':<7} {'size':>10} {'length':>8} {'state':<9} name")
        count = 0
        async for asset in edge.assets.list(kind=AssetKind(kind.value) if kind else None):
            print(json.dumps(plain(asset)) if as_json else _line(asset), flush=True)
            count += 1
            if count == limit:
                return


async def _remove(given: str | None, where: Places, ids: list[str], *, as_json: bool) -> None:
    from shared.cli.jobs import some_edge

    async with some_edge(given, where) as edge:
        for one in ids:
            asset_id = await edge.assets.complete_id(one)
            await edge.assets.delete(asset_id)
            print(json.dumps({"deleted": asset_id}) if as_json else f"deleted {asset_id}", flush=True)


def _line(asset: "Asset") -> str:
    from shared.cli.board import duration

    size = f"{asset.size_bytes / (1 << 20):.1f} MiB"
    seconds = asset.media.duration_seconds if asset.media is not None else 0.0
    length = duration(seconds) if seconds else ""
    # A name from outside must not reach into the terminal.
    name = "".join(letter if letter.isprintable() else "?" for letter in asset.name)
    return f"{asset.id:<64} {asset.kind:<7} {size:>10} {length:>8} {asset.state:<9} {name}".rstrip()
