"""Pictures of the dashboards from their own queries, where no Grafana is at hand.

    python deploy/grafana/picture.py http://127.0.0.1:9090 [--minutes 15] [--into FOLDER]

Each panel of ``dashboards/*.json`` is asked of Prometheus as Grafana would ask, over the last minutes, and drawn in the
place that it has on the board. A picture tells what an operator will see; Grafana draws it in its own style.
"""

import argparse
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

FOLDER: Final = Path(__file__).resolve().parent
_COLUMNS: Final = 24
"""Into how many a board is divided, for ``gridPos``."""
_WIDTH_INCHES: Final = 14.0
_ROW_INCHES: Final = 0.32
_HEAD_INCHES: Final = 0.4
_LEFT_INCHES: Final = 0.6
_UNDER_INCHES: Final = 0.22
_OVER_INCHES: Final = 0.28
"""Beside, below and above a panel: its numbers and its title."""
_POINTS: Final = 240
"""How many moments of the time shown are asked for."""
_SCRAPES: Final = 4
"""``$__rate_interval`` is so many times the interval of scraping."""
_DARK: Final = {
    "figure.facecolor": "#111217",
    "axes.facecolor": "#181b1f",
    "axes.edgecolor": "#34373c",
    "axes.labelcolor": "#ccccdc",
    "axes.prop_cycle": mpl.cycler(color=["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#e24d42", "#b877d9", "#8ab8ff"]),
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "font.size": 6.5,
    "grid.color": "#2c2f34",
    "axes.grid": True,
    "legend.frameon": False,
    "text.color": "#ccccdc",
    "xtick.color": "#8e8e99",
    "ytick.color": "#8e8e99",
}
_LEGEND_ENTRIES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The time that is shown, in seconds since 1970, and the step between two moments of it."""

    begin: float
    end: float
    step: float

    def minutes(self, moments: list[float]) -> list[float]:
        """Moments as minutes before the end."""
        return [(moment - self.end) / 60 for moment in moments]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line: its name in the legend, when, and how much."""

    name: str
    moments: list[float]
    values: list[float]


class Source:
    """A Prometheus that is asked.

    Args:
        url: Its address.
        interval_s: How often it scrapes.
    """

    def __init__(self, url: str, interval_s: float) -> None:
        self._url = url.rstrip("/")
        self._rate = f"{max(1, round(_SCRAPES * interval_s))}s"

    def ask(self, target: dict[str, Any], span: Span) -> list[Series]:
        """What one query of a panel gives, all regions, edges or nodes together."""
        words = re.sub(r"\$(region|node|edge)\b", ".*", target["expr"]).replace("$__rate_interval", self._rate)
        asked = urllib.parse.urlencode({"query": words, "start": span.begin, "end": span.end, "step": span.step})
        with urllib.request.urlopen(f"{self._url}/api/v1/query_range?{asked}", timeout=30) as answer:  # noqa: S310 - the operator's
            found = json.load(answer)["data"]["result"]
        series = (_series(one, target.get("legendFormat", "")) for one in found)
        return [one for one in series if one.values]


def _series(found: dict[str, Any], legend: str) -> Series:
    name = re.sub(r"{{(\w+)}}", lambda label: found["metric"].get(label[1], ""), legend)
    # A share of nothing is no number: there is nothing to draw then.
    known = [(moment, float(value)) for moment, value in found["values"] if value != "NaN"]
    return Series(name=name.strip(), moments=[at for at, _ in known], values=[value for _, value in known])


def _scaled(steps: float, units: str) -> Callable[[float], str]:
    *smaller, largest = units.split(",")

    def words(value: float) -> str:
        for unit in smaller:
            if abs(value) < steps:
                return f"{value:.3g} {unit}".rstrip()
            value /= steps
        return f"{value:.3g} {largest}"

    return words


def _seconds(value: float) -> str:
    if abs(value) >= 1 or value == 0:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms"


_UNITS: Final[dict[str, Callable[[float], str]]] = {
    "s": _seconds,
    "bytes": _scaled(1024, "B,KiB,MiB,GiB,TiB"),
    "Bps": _scaled(1000, "B/s,kB/s,MB/s,GB/s"),
    "bps": _scaled(1000, "b/s,kb/s,Mb/s,Gb/s"),
    "percentunit": lambda value: f"{value * 100:.3g} %",
    "cps": lambda value: f"{value:.3g} /s",
    "reqps": lambda value: f"{value:.3g} /s",
    "short": _scaled(1000, ",k,M,G"),
}


def _stat(axes: Axes, found: list[Series], words: Callable[[float], str]) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    text = words(found[0].values[-1]) if found else "no data"
    axes.text(0.5, 0.45, text, ha="center", va="center", fontsize=15, transform=axes.transAxes)


def _lines(axes: Axes, found: list[Series], span: Span, *, stacked: bool) -> None:
    if stacked and found:
        moments = sorted({moment for one in found for moment in one.moments})
        at = [dict(zip(one.moments, one.values, strict=True)) for one in found]
        rows = [[known.get(moment, 0.0) for moment in moments] for known in at]
        axes.stackplot(span.minutes(moments), rows, labels=[one.name for one in found], alpha=0.75)
    else:
        for one in found:
            axes.plot(span.minutes(one.moments), one.values, linewidth=1, label=one.name)
    axes.set_ylim(bottom=0)
    shown = found[:_LEGEND_ENTRIES]
    if any(one.name for one in shown):
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[:_LEGEND_ENTRIES], labels[:_LEGEND_ENTRIES], loc="upper left", fontsize=5.5, ncols=2)
    if len(found) > len(shown):
        axes.text(0.99, 0.97, f"and {len(found) - len(shown)} more", ha="right", va="top", transform=axes.transAxes)


def _heat(axes: Axes, found: list[Series], span: Span) -> None:
    """How many fell between two bounds; the buckets of Prometheus hold all below one."""
    buckets = sorted(found, key=lambda one: float(one.name))
    moments = sorted({moment for one in buckets for moment in one.moments})
    below = [0.0] * len(moments)
    rows = []
    for one in buckets:
        at = dict(zip(one.moments, one.values, strict=True))
        counts = [at.get(moment, 0.0) for moment in moments]
        rows.append([max(0.0, count - less) for count, less in zip(counts, below, strict=True)])
        below = counts
    if not rows:
        return
    edges = span.minutes([*moments, moments[-1] + span.step])
    axes.pcolormesh(edges, range(len(rows) + 1), rows, cmap="magma")
    every = max(1, len(buckets) // 8)
    axes.set_yticks([number + 1 for number in range(0, len(rows), every)])
    axes.set_yticklabels([buckets[number].name for number in range(0, len(rows), every)])
    axes.grid(visible=False)


def _draw(panel: dict[str, Any], axes: Axes, source: Source, span: Span) -> None:
    found = [series for target in panel["targets"] for series in source.ask(target, span)]
    defaults = panel["fieldConfig"]["defaults"]
    words = _UNITS[defaults.get("unit", "short")]
    axes.set_title(panel["title"])
    if panel["type"] == "stat":
        _stat(axes, found, words)
        return
    axes.set_xlim((span.begin - span.end) / 60, 0)
    if panel["type"] == "heatmap":
        _heat(axes, found, span)
        return
    stacking = defaults.get("custom", {}).get("stacking", {}).get("mode")
    _lines(axes, found, span, stacked=stacking == "normal")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    if not found:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes)


def picture(board: dict[str, Any], source: Source, span: Span) -> Figure:
    """A board with its panels where they stand."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    height = rows * _ROW_INCHES + _HEAD_INCHES
    with mpl.rc_context(_DARK):
        figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=100)
        figure.text(0.1 / _WIDTH_INCHES, 1 - 0.25 / height, f"{board['title']}. {board['description']}", fontsize=11)
        for panel in board["panels"]:
            at, column = panel["gridPos"], _WIDTH_INCHES / _COLUMNS
            bottom = (rows - at["y"] - at["h"]) * _ROW_INCHES + _UNDER_INCHES
            size = at["w"] * column - _LEFT_INCHES - 0.1, at["h"] * _ROW_INCHES - _UNDER_INCHES - _OVER_INCHES
            place = (
                (at["x"] * column + _LEFT_INCHES) / _WIDTH_INCHES,
                bottom / height,
                size[0] / _WIDTH_INCHES,
                size[1] / height,
            )
            _draw(panel, figure.add_axes(place), source, span)
    return figure


def draw_all(url: str, minutes: float, into: Path, *, interval_s: float) -> list[Path]:
    """Draw every dashboard; gives the files.

    Args:
        url: Prometheus.
        minutes: How much of the past is shown.
        into: The folder for them.
        interval_s: How often it scrapes.
    """
    end = time.time()
    span = Span(begin=end - 60 * minutes, end=end, step=max(1.0, 60 * minutes / _POINTS))
    source = Source(url, interval_s)
    into.mkdir(parents=True, exist_ok=True)
    drawn = []
    for path in sorted((FOLDER / "dashboards").glob("*.json")):
        drawn.append(into / f"{path.stem}.png")
        picture(json.loads(path.read_text()), source, span).savefig(drawn[-1])
    return drawn


def main() -> None:
    """Draw what the command line says."""
    parser = argparse.ArgumentParser(description="Draw the dashboards from what a Prometheus has.")
    parser.add_argument("url", help="the Prometheus, as http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=15.0, help="how much of the past is shown (15)")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between two looks of Prometheus (15)")
    parser.add_argument("--into", type=Path, default=FOLDER / "pictures", help="folder for the pictures")
    options = parser.parse_args()
    for path in draw_all(options.url, options.minutes, options.into, interval_s=options.interval):
        print(path)


if __name__ == "__main__":
    main()
