"""``viseme webhooks``: what the edge told and tells of jobs' ends."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.cli.command import EdgeOption, JsonOption, places, run_command
from shared.cli.places import Places

if TYPE_CHECKING:
    from shared.cli.edges import Given
    from shared.sdk.webhooks import Webhook

webhooks = typer.Typer(
    name="webhooks",
    help="What the edge told and tells of jobs' ends by HTTP.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@webhooks.command("list")
def list_(
    edge: EdgeOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that were given up.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List webhooks: id, state, tries, job, where it goes, why it failed."""
    run_command(lambda _display: _list(edge, places(), failed=failed, limit=limit, as_json=as_json), as_json=as_json)


@webhooks.command("replay")
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]", help="Ids, from `viseme webhooks list`.")] = None,
    edge: EdgeOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that were given up.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Have webhooks delivered once more, with the same ids and bodies."""
    run_command(lambda _display: _replay(edge, places(), ids or [], failed=failed, as_json=as_json), as_json=as_json)


@webhooks.command("secret")
def secret(
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The data folder of the edge, or of `viseme up`.")
    ] = None,
) -> None:
    """Show what the edge on this machine signs webhooks with, where its settings name nothing else."""
    run_command(lambda _display: _secret(data or places().data), as_json=False)


async def _list(given: "Given", where: Places, *, failed: bool, limit: int, as_json: bool) -> None:
    from shared.cli.edges import some_edge
    from shared.cli.jobs import plain
    from shared.sdk.webhooks import WebhookState

    async with some_edge(given, where) as edge:
        if not as_json:
            print(f"{'webhook':<36} {'state':<9} {'tries':>5} {'job':<24} what")
        count = 0
        async for webhook in edge.webhooks.list(state=WebhookState.FAILED if failed else None):
            print(json.dumps(plain(webhook)) if as_json else _line(webhook), flush=True)
            count += 1
            if count == limit:
                return


async def _replay(given: "Given", where: Places, ids: list[str], *, failed: bool, as_json: bool) -> None:
    from shared.cli.edges import some_edge
    from shared.cli.jobs import plain
    from shared.errors import InvalidInputError
    from shared.sdk.webhooks import WebhookState

    if bool(ids) == failed:
        raise InvalidInputError("name webhooks by their ids, or all that were given up by --failed", field="webhook_id")
    async with some_edge(given, where) as edge:
        if failed:
            ids = [webhook.id async for webhook in edge.webhooks.list(state=WebhookState.FAILED)]
        for one in ids:
            webhook = await edge.webhooks.replay(one)
            print(json.dumps(plain(webhook)) if as_json else f"{webhook.id} {webhook.state}", flush=True)


async def _secret(data: Path) -> None:
    from shared.errors import NotFoundError
    from shared.webhook import SECRET_FILE

    for folder in (data, data / "edge"):
        file = folder / SECRET_FILE
        if file.is_file():
            print(file.read_text(encoding="utf-8").strip())
            return
    message = f"no edge has made a secret in {data} yet; name its data folder with --data, or start it once"
    raise NotFoundError(message, field="data")


def _line(webhook: "Webhook") -> str:
    what = f"{webhook.type} to {webhook.url}" + (f": {webhook.error}" if webhook.error else "")
    return f"{webhook.id:<36} {webhook.state:<9} {webhook.tries:>5} {webhook.job_id:<24} {what}"
