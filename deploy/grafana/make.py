"""Dashboards as code: ``python deploy/grafana/make.py`` writes ``dashboards/*.json``, which are committed.

Three: what users of each region feel, the GPU centre, one edge. A test compares the files with what this makes, and
every query with what a running edge and node export.
"""

from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import StackingConfig
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FOLDER: Final = Path(__file__).resolve().parent / "dashboards"
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${source}")
_HEIGHT: Final = 8
_WIDE, _HALF, _SIXTH = 24, 12, 4

Query = tuple[str, str]
"""PromQL and how its series are called."""


def _ask(panel: timeseries.Panel | stat.Panel, queries: tuple[Query, ...]) -> None:
    for number, (words, legend) in enumerate(queries):
        query = prometheus.Dataquery().expr(words).legend_format(legend).ref_id(chr(ord("A") + number))
        panel.with_target(query.exemplar("_bucket" in words))


def _lines(
    title: str, unit: str, *queries: Query, about: str = "", span: int = _HALF, stacked: bool = False
) -> timeseries.Panel:
    panel = timeseries.Panel().title(title).unit(unit).description(about).datasource(_SOURCE)
    panel.height(_HEIGHT).span(span).min(0)
    if stacked:
        panel.stacking(StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(40)
    _ask(panel, queries)
    return panel


def _figure(title: str, unit: str, words: str, *, about: str = "") -> stat.Panel:
    panel = stat.Panel().title(title).unit(unit).description(about).datasource(_SOURCE).height(4).span(_SIXTH)
    _ask(panel, ((words, ""),))
    return panel


def _heat(title: str, name: str, labels: str) -> heatmap.Panel:
    words = f"sum by (le) (increase({name}_bucket{{{labels}}}[$__rate_interval]))"
    query = prometheus.Dataquery().expr(words).legend_format("{{le}}").ref_id("A").format(PromQueryFormat.HEATMAP)
    panel = heatmap.Panel().title(title).datasource(_SOURCE).height(_HEIGHT).span(_HALF)
    return panel.calculate(calculate=False).with_target(query)


def _p(share: float, name: str, labels: str, by: str) -> str:
    return f"histogram_quantile({share:g}, sum by ({by}, le) (rate({name}_bucket{{{labels}}}[$__rate_interval])))"


def _times(title: str, name: str, labels: str, by: str, *, about: str = "", span: int = _HALF) -> timeseries.Panel:
    """How long most, and nearly all, of something took."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    queries = [(_p(share, name, labels, by), f"{legend} p{share * 100:g}") for share in (0.5, 0.95)]
    return _lines(title, "s", *queries, about=about, span=span)


def _rates(
    title: str, unit: str, name: str, labels: str, by: str, *, about: str = "", stacked: bool = True
) -> timeseries.Panel:
    """How much of something there is a second."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    words = f"sum by ({by}) (rate({name}{{{labels}}}[$__rate_interval]))"
    return _lines(title, unit, (words, legend), about=about, stacked=stacked)


def _board(name: str, title: str, about: str, of: str, label: str) -> dashboard.Dashboard:
    """An empty board on which one label can be chosen."""
    board = dashboard.Dashboard(f"viseme: {title}").uid(f"viseme-{name}").description(about).tags(["viseme"])
    board.refresh("10s").time("now-3h", "now")
    board.with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
    variable = dashboard.QueryVariable(label).label(label).datasource(_SOURCE).query(f"label_values({of}, {label})")
    return board.with_variable(variable.multi(multi=True).include_all(include_all=True).all_value(".*"))


def _with(board: dashboard.Dashboard, *panels: timeseries.Panel | stat.Panel | heatmap.Panel) -> dashboard.Dashboard:
    for panel in panels:
        board.with_panel(panel)
    return board


def experience() -> dashboard.Dashboard:
    """What users of each region feel, and where their time goes."""
    here = 'region=~"$region"'
    board = _board("experience", "users by region", "What people wait for.", "viseme_edge_jobs", "region")
    ended = "sum(increase(viseme_edge_jobs_ended_total"
    shares = f"sum by (stage) (viseme:stage_share:rate5m{{{here}}})"
    about = "Shares of stages' seconds; wait is for a turn or an upload, send and return are the link to the GPU."
    return _with(
        board,
        _figure("Jobs succeeded, 1 h", "short", f'{ended}{{{here},state="succeeded"}}[1h]))'),
        _figure("Jobs failed, 1 h", "short", f'{ended}{{{here},state="failed"}}[1h]))'),
        _figure("Waiting now", "short", f"sum(viseme_edge_queue_depth{{{here}}})"),
        _figure("Oldest waits", "s", f"max(viseme_edge_queue_age_seconds{{{here}}})"),
        _figure("First progress late", "percentunit", f"max(viseme:first_progress_late:ratio_rate1h{{{here}}})"),
        _figure("Uploads that failed", "percentunit", f"max(viseme:uploads_failed:ratio_rate1h{{{here}}})"),
        _lines("Where the time goes", "percentunit", (shares, "{{stage}}"), about=about, span=_WIDE, stacked=True),
        _times("From accepted to first progress", "viseme_edge_first_progress_seconds", here, "region"),
        _times("Whole job", "viseme_edge_job_seconds", here, "region"),
        _times("Upload", "viseme_edge_upload_seconds", here, "region"),
        _rates("Uploads by their end", "cps", "viseme_edge_uploads_total", here, "outcome"),
        _lines("To the node, p90", "s", (f"viseme:node_round_trip_seconds:p90_5m{{{here}}}", "{{region}} {{edge}}")),
        _rates("Jobs that failed", "cps", "viseme_edge_jobs_ended_total", f'{here},state="failed"', "reason"),
    )


def centre() -> dashboard.Dashboard:
    """The nodes: queue, networks, Triton."""
    here = 'node=~"$node"'
    board = _board("centre", "the GPU centre", "What nodes and their Triton do.", "viseme_node_queue_depth", "node")
    state, frames = "viseme_node_triton_state", "viseme_node_frames_rendered_total"
    return _with(
        board,
        _figure("Frames a second", "short", f"sum(rate({frames}{{{here}}}[$__rate_interval]))"),
        _figure("Segments waiting", "short", f"sum(viseme_node_queue_depth{{{here}}})"),
        _figure("Streams", "short", f"sum(viseme_node_jobs{{{here}}})"),
        _figure("Triton ready", "short", f'sum({state}{{{here},state=~"ready|local"}})'),
        _figure("Brought back, 1 h", "short", f"sum(increase(viseme_node_triton_reloads_total{{{here}}}[1h]))"),
        _figure("Disk free", "percentunit", f"min(viseme:node_disk_free:ratio{{{here}}})"),
        _rates("Frames rendered", "short", frames, here, "node, engine"),
        _times("Wait in the queue", "viseme_node_queue_seconds", here, "node"),
        _rates("Threads kept busy, by step", "short", "viseme_node_step_seconds_sum", here, "step"),
        _times("One call of a network", "viseme_node_network_seconds", here, "model"),
        _heat("Calls of networks", "viseme_node_network_seconds", here),
        _lines("Triton", "short", (f"sum by (state) ({state}{{{here}}})", "{{state}}"), stacked=True),
        _rates("Media to and from edges", "Bps", "viseme_node_bytes_total", here, "direction", stacked=False),
        _lines("Cache on disk", "bytes", (f"viseme_node_cache_bytes{{{here}}}", "{{node}}")),
        _rates("Calls that ended badly", "cps", "viseme_rpc_calls_total", f'{here},code!="OK"', "method, code"),
        _lines("Memory", "bytes", ('process_resident_memory_bytes{job="viseme-node"}', "{{instance}}")),
    )


def one_edge() -> dashboard.Dashboard:
    """One edge: jobs, stages, links, calls, disk."""
    here = 'edge=~"$edge"'
    board = _board("edge", "an edge", "Everything that an edge tells.", "viseme_edge_jobs", "edge")
    running = f'sum(viseme_edge_jobs{{{here},state=~"preparing|rendering|finishing"}})'
    free, size = f"viseme_edge_disk_free_bytes{{{here}}}", f"viseme_edge_disk_size_bytes{{{here}}}"
    return _with(
        board,
        _figure("Node answers", "short", f"min(viseme_edge_node_up{{{here}}})"),
        _figure("To the node and back", "s", f"max(viseme:node_round_trip_seconds:p90_5m{{{here}}})"),
        _figure("Link to the node", "bps", f"min(viseme_edge_node_bits_per_second{{{here}}})"),
        _figure("Running", "short", running),
        _figure("Oldest waits", "s", f"max(viseme_edge_queue_age_seconds{{{here}}})"),
        _figure("Disk free", "percentunit", f"min(viseme:edge_disk_free:ratio{{{here}}})"),
        _times("A stage at work in one job", "viseme_edge_stage_seconds", here, "stage", span=_WIDE),
        _heat("Whole jobs", "viseme_edge_job_seconds", here),
        _rates("Frames of results", "short", "viseme_edge_frames_total", here, "engine"),
        _rates("Bytes over links", "Bps", "viseme_edge_link_bytes_total", here, "link, direction", stacked=False),
        _heat("Round trips to the node", "viseme_edge_node_round_trip_seconds", here),
        _times("gRPC calls", "viseme_rpc_seconds", here, "method", about="Streams last while somebody watches."),
        _rates("Calls that ended badly", "cps", "viseme_rpc_calls_total", f'{here},code!="OK"', "method, code"),
        _times("HTTP requests", "viseme_http_seconds", here, "method, route"),
        _rates("HTTP requests by status", "reqps", "viseme_http_requests_total", here, "code"),
        _lines("Disk", "bytes", (free, "{{edge}} free"), (size, "{{edge}} size")),
        _lines("Memory", "bytes", ('process_resident_memory_bytes{job="viseme-edge"}', "{{instance}}")),
    )


def boards() -> dict[str, str]:
    """The text of every file, by its name."""
    made = {"experience": experience(), "centre": centre(), "edge": one_edge()}
    return {
        f"{name}.json": JSONEncoder(sort_keys=True, indent=1).encode(board.build()) + "\n"
        for name, board in made.items()
    }


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in boards().items():
        (FOLDER / name).write_text(text)
        print(FOLDER / name)


if __name__ == "__main__":
    main()
