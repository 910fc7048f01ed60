"""Markdown tables that are printed row by row."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def head(*columns: str) -> None:
    """Print a table's head."""
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)


def row(*cells: str) -> None:
    """Print a row."""
    print("| " + " | ".join(cells) + " |", flush=True)


def middle(runs: Iterable[T], figure: Callable[[T], float]) -> float:
    """The median of a figure over runs."""
    return statistics.median(map(figure, runs))


def spread(values: Sequence[float], form: str) -> str:
    """From the least to the most."""
    return f"{min(values):{form}} to {max(values):{form}}"
