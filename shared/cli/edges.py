"""The edges that a user names: which is used, what is told of that, and what is remembered."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

from shared.cli.places import Places
from shared.cli.state import find_edge, remember_edge, remembered_edge
from shared.errors import EdgeUnavailableError, InvalidInputError
from shared.sdk.client import Edge, connect
from shared.sdk.model import EdgeChange

Given = Sequence[str] | None
"""What was named by ``--edge``, which may stand there several times, or ``VISEME_EDGE``, with commas."""

Tell = Callable[[EdgeChange], None]


def named(given: Given) -> list[str]:
    """The addresses one by one."""
    return [part.strip() for text in given or () for part in text.split(",") if part.strip()]


async def edges_of(given: Given, places: Places) -> list[str]:
    """The edges that were named, or the one that runs on this machine; none where none does."""
    addresses = named(given)
    if not addresses and (here := await find_edge(places.state)) is not None:
        return [here]
    return addresses


def key_of(environ: Mapping[str, str]) -> str:
    """The key that is shown to edges: ``VISEME_KEY``, or what is in the file ``VISEME_KEY_FILE``.

    There is no option for it, since everybody on a machine can read arguments.

    Raises:
        InvalidInputError: The file cannot be read.
    """
    file = environ.get("VISEME_KEY_FILE", "")
    if environ.get("VISEME_KEY") or not file:
        return environ.get("VISEME_KEY", "").strip()
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{file} cannot be read as a key: {error}", field="VISEME_KEY_FILE") from None


class Shown(TypedDict):
    """What commands tell :func:`shared.sdk.client.connect` besides addresses."""

    key: str
    ca: str | None
    insecure: bool


def shown_of(environ: Mapping[str, str]) -> Shown:
    """What the environment says: a key, ``VISEME_CA`` for edges at ``https://``, and ``VISEME_INSECURE=1``.

    Raises:
        InvalidInputError: The key's file cannot be read.
    """
    return Shown(
        key=key_of(environ), ca=environ.get("VISEME_CA") or None, insecure=environ.get("VISEME_INSECURE") == "1"
    )


def say_change(change: EdgeChange) -> None:
    """Tell a person of a change; which edge was the nearest is of no interest to a command that only asks something."""
    if change.left or change.file:
        sys.stderr.write(f"note: {change.message}\n")


@asynccontextmanager
async def open_edge(addresses: Sequence[str], places: Places, tell: Tell = say_change) -> AsyncIterator[Edge]:
    """The nearest of some edges, or the one that was the nearest within the last hour.

    Args:
        addresses: Where they are.
        places: Where it is remembered which was taken.
        tell: Told which is used, and what a change costs.

    Raises:
        InvalidInputError: One is no address.
    """
    if len(addresses) < 2:
        async with connect(addresses, **shown_of(os.environ)) as edge:
            yield edge
        return

    def changed(change: EdgeChange) -> None:
        if not change.file:
            remember_edge(places.state, addresses, change.edge)
        tell(change)

    prefer = remembered_edge(places.state, addresses)
    async with connect(addresses, prefer=prefer, on_change=changed, **shown_of(os.environ)) as edge:
        yield edge


@asynccontextmanager
async def some_edge(given: Given, places: Places, tell: Tell = say_change) -> AsyncIterator[Edge]:
    """An edge that was named, or the one that runs on this machine.

    Raises:
        EdgeUnavailableError: None was named and none runs.
    """
    addresses = await edges_of(given, places)
    if not addresses:
        raise EdgeUnavailableError(
            "no edge runs on this machine; start one with `viseme up`, or name one with --edge HOST:PORT"
        )
    async with open_edge(addresses, places, tell) as edge:
        yield edge
