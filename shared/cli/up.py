"""``viseme up``: the parts on this machine, until somebody stops them."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from shared.cli.display import Display, JsonDisplay, show_error
from shared.cli.exits import ExitCode
from shared.cli.local import running_parts
from shared.cli.state import stated
from shared.errors import ConflictError
from shared.lock import locked


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOrder:
    """What the user asked for."""

    data: Path
    edge_listens: Mapping[str, str]
    node_listens: Mapping[str, str]
    models: Path
    flags: tuple[str, ...]


async def up(order: UpOrder, state: Path, display: Display) -> None:
    """Run until cancelled.

    Raises:
        VisemeError: A part does not start.
    """
    with _only_user(order.data, display):
        async with running_parts(
            data=order.data,
            edge_listens=order.edge_listens,
            node_listens=order.node_listens,
            models=order.models,
            flags=order.flags,
            tell=display.part,
        ) as parts:
            with stated(state, parts.edge):
                web = parts.edge.get("web")
                page = f", the page is http://{web}" if web else ""
                display.note(f"ready: viseme dub VIDEO AUDIO -o OUT{page}; data in {order.data}; Ctrl-C stops all")
                await asyncio.Event().wait()


@contextmanager
def _only_user(data: Path, display: Display) -> Iterator[None]:
    """Hold the data folder; where it is in use, end as the programs themselves do: with the code of a wrong call."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(data))
        except ConflictError as error:
            show_error(error, ExitCode.USAGE, as_json=isinstance(display, JsonDisplay))
            raise typer.Exit(ExitCode.USAGE) from None
        yield
