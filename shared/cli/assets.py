"""``viseme assets``: the files that an edge keeps."""

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from shared.cli.command import EdgeOption, JsonOption, places, run_command
from shared.cli.places import Places

if TYPE_CHECKING:
    from datetime import datetime

    from shared.cli.display import Display
    from shared.cli.edges import Given
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
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids, or beginnings of 6 or more letters.")],
    edge: EdgeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete assets that no unfinished job needs."""
    run_command(lambda _display: _remove(edge, places(), ids, as_json=as_json), as_json=as_json)


@assets.command("add")
def add(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Files of libraries: lib:LIBRARY/path, see `assets library`.")
    ],
    edge: EdgeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make files that lie at the edge already assets, without an upload."""
    run_command(lambda display: _add(edge, places(), names, display, as_json=as_json), as_json=as_json)


@assets.command("library")
def library(
    name: Annotated[
        str, typer.Argument(metavar="[LIBRARY[/FOLDER]]", help="What to list; without it, the libraries.")
    ] = "",
    edge: EdgeOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """List what lies at the edge already and is used by name: + before what is an asset by now."""
    run_command(lambda _display: _library(edge, places(), name, limit=limit, as_json=as_json), as_json=as_json)


async def _add(given: "Given", where: Places, names: list[str], display: "Display", *, as_json: bool) -> None:
    from shared.cli.display import moving, on_transfer
    from shared.cli.edges import some_edge
    from shared.cli.jobs import plain
    from shared.sdk.library import SCHEME
    from shared.sdk.model import Stage

    async with some_edge(given, where) as edge, moving(display):
        for name in names:
            whole = name if name.startswith(SCHEME) else SCHEME + name
            asset = await edge.add(whole, on_progress=on_transfer(display, Stage.UPLOAD))
            print(json.dumps({"added": whole, **plain(asset)}) if as_json else f"{asset.id} {shown(whole)}", flush=True)


async def _library(given: "Given", where: Places, name: str, *, limit: int, as_json: bool) -> None:
    from shared.cli.edges import some_edge
    from shared.cli.jobs import plain
    from shared.sdk.library import SCHEME

    async with some_edge(given, where) as edge:
        library, _, folder = name.removeprefix(SCHEME).partition("/")
        if not library:
            for one in (await edge.capabilities()).libraries:
                print(json.dumps({"library": one}) if as_json else one, flush=True)
            return
        count = 0
        async for file in edge.library(library, folder):
            mark = "+" if file.asset_id else " "
            line = f"{mark} {size_words(file.size_bytes):>10} {file.modified:%Y-%m-%d %H:%M} {shown(file.name)}"
            print(json.dumps(plain(file)) if as_json else line, flush=True)
            count += 1
            if count == limit:
                return


async def _list(given: "Given", where: Places, *, kind: Kind | None, limit: int, as_json: bool) -> None:
    from shared.cli.edges import some_edge
    from shared.cli.jobs import plain
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


async def _remove(given: "Given", where: Places, ids: list[str], *, as_json: bool) -> None:
    from shared.cli.edges import some_edge

    async with some_edge(given, where) as edge:
        for one in ids:
            asset_id = await edge.assets.complete_id(one)
            await edge.assets.delete(asset_id)
            print(json.dumps({"deleted": asset_id}) if as_json else f"deleted {asset_id}", flush=True)


def _line(asset: "Asset") -> str:
    from shared.cli.board import duration

    seconds = asset.media.duration_seconds if asset.media is not None else 0.0
    length = duration(seconds) if seconds else ""
    size = size_words(asset.size_bytes)
    line = f"{asset.id:<64} {asset.kind:<7} {size:>10} {length:>8} {asset.state:<9} {shown(asset.name)}".rstrip()
    return line + until_words(asset.expires)


def until_words(expires: "datetime | None") -> str:
    """Until when something is kept, as the end of a line; nothing where it stays."""
    return f" (until {expires.astimezone():%Y-%m-%d %H:%M})" if expires else ""


def size_words(size_bytes: int) -> str:
    """A size, in words."""
    return f"{size_bytes / (1 << 20):.1f} MiB"


def shown(name: str) -> str:
    """A name from outside, that must not reach into the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
