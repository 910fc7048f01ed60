"""``viseme up``: the parts on this machine, until somebody stops them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.cli.display import Display
from shared.cli.local import running_parts
from shared.cli.state import stated
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
    with locked(order.data):
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
