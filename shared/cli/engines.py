"""``viseme engines``: what can render, and the networks of one's own."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.cli.command import EdgeOption, JsonOption, places, run_command

if TYPE_CHECKING:
    from shared.cli.edges import Given

engines = typer.Typer(
    name="engines",
    help="What can render: without a command, the engines of the edge's nodes.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
importing = typer.Typer(
    name="import",
    help="Make a network of your own an engine of the node on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
engines.add_typer(importing)

ModelsOption = Annotated[
    Path | None,
    typer.Option(
        "--models",
        metavar="DIR",
        help="The folder of your own networks, as the node was told; else VISEME_NODE_MODELS, else "
        "~/.local/share/viseme/engines.",
    ),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The engine's name.")]
NameOption = Annotated[str, typer.Option("--name", metavar="NAME", help="What to call it, for --engine NAME.")]


@engines.callback(invoke_without_command=True)
def _root(context: typer.Context, edge: EdgeOption = None, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is not None:
        return
    from shared.cli import jobs as work

    run_command(lambda _display: work.engines(edge, places(), as_json=as_json), as_json=as_json)


@engines.command("list")
def list_(models: ModelsOption = None, as_json: JsonOption = False) -> None:
    """List what this machine's node has: engines that come with viseme, and your own."""

    async def work() -> None:
        told = await _ask(models, "list")
        if not as_json:
            print(f"{'engine':<16} {'':<8} {'crop':>5} {'fps':>6}  {'source':<12} licence")
        for one in told:
            print(json.dumps(one) if as_json else _line(one))

    run_command(lambda _display: work(), as_json=as_json)


@engines.command()
def show(name: NameArgument, models: ModelsOption = None, as_json: JsonOption = False) -> None:
    """Show all that is known of an engine of this machine's node."""

    async def work() -> None:
        for one in await _ask(models, "show", "--", name):
            print(json.dumps(one, indent=None if as_json else 2))

    run_command(lambda _display: work(), as_json=as_json)


@engines.command()
def remove(name: NameArgument, models: ModelsOption = None, as_json: JsonOption = False) -> None:
    """Remove a network of your own; a running node lets it go within seconds."""

    async def work() -> None:
        await _ask(models, "remove", "--", name)
        print(json.dumps({"removed": name}) if as_json else f"removed {name}")

    run_command(lambda _display: work(), as_json=as_json)


@importing.command()
def wav2lip(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT.pth", help="A checkpoint of Wav2Lip's generator.")],
    name: NameOption = "",
    licence: Annotated[
        str, typer.Option(metavar="WORDS", help="What its makers allow, where it is none of the published ones.")
    ] = "",
    models: ModelsOption = None,
    edge: EdgeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import a Wav2Lip checkpoint. The published weights are for non-commercial use only."""
    words = [*([f"--name={name}"] if name else ()), *([f"--licence={licence}"] if licence else ())]
    _import(models, edge, ["import-wav2lip", str(checkpoint.absolute()), *words], as_json=as_json)


@importing.command()
def onnx(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The network.")],
    card: Annotated[Path, typer.Option(metavar="CARD.toml", help="What it is: see deploy/networks.md.")],
    name: NameOption = "",
    models: ModelsOption = None,
    edge: EdgeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import any network whose tensors a card declares."""
    words = ["--card", str(card.absolute()), *([f"--name={name}"] if name else ())]
    _import(models, edge, ["import-onnx", str(file.absolute()), *words], as_json=as_json)


def _import(models: Path | None, edge: "Given", words: list[str], *, as_json: bool) -> None:
    async def work() -> None:
        from shared.cli.node_program import listed_by_edge

        (told,) = await _ask(models, *words)
        if as_json:
            print(json.dumps(told), flush=True)
        else:
            print(f"imported {told['name']}: {told['summary']}")
            print(f"licence: {told['licence']}", flush=True)
        listed = await listed_by_edge(told["name"], edge, places())
        if as_json:
            return
        if listed is False:
            folder = Path(told["folder"]).parent
            print(f"the edge does not list it yet: was its node started with --models {folder}?")
        print(f"use it: viseme dub VIDEO AUDIO -o OUT --engine {told['name']}")

    run_command(lambda _display: work(), as_json=as_json)


async def _ask(models: Path | None, *words: str) -> list[dict[str, Any]]:
    from shared.cli.node_program import ask_networks

    return await ask_networks((models or places().models).absolute(), *words)


def _line(one: dict[str, Any]) -> str:
    if "fault" in one:
        return f"{one['name']:<16} broken   {one['fault']}"
    kind = "own" if one["own"] else "default" if one["default"] else ""
    rate = f"{one['frame_rate']:g}" if one["frame_rate"] else "any"
    return (
        f"{one['name']:<16} {kind:<8} {one['crop_px']:>5} {rate:>6}  {one['source'][:12]:<12} {one['licence']}".rstrip()
    )
