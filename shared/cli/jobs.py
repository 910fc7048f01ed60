"""The commands about jobs and engines."""

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.cli.assets import until_words
from shared.cli.display import Display, moving, on_transfer
from shared.cli.dub import follow
from shared.cli.edges import Given, some_edge
from shared.cli.places import Places
from shared.cli.report import report_json, waterfall
from shared.sdk.download import check_target
from shared.sdk.model import JobStatus, Stage


async def list_jobs(given: Given, places: Places, *, limit: int, as_json: bool) -> None:
    """Show jobs, newest first."""
    async with some_edge(given, places) as edge:
        if not as_json:
            print(f"{'job':<28} {'state':<10} {'created':<17} {'fit':<7} {'engine':<8} what")
        count = 0
        async for job in edge.jobs():
            print(json.dumps(plain(job.status)) if as_json else _job_line(job.status), flush=True)
            count += 1
            if count == limit:
                return


async def watch(given: Given, places: Places, job_id: str, display: Display, *, ascii_only: bool) -> None:
    """Follow a job to its end; everything that has happened to it is shown first."""
    async with some_edge(given, places, display.edge) as edge:
        job = await edge.job(job_id)
        display.job(job.status)
        async with moving(display):
            await follow(job, display)
        report = report_json(job.result(), total_seconds=job.result().total_seconds)
        lines = waterfall(report, plain=ascii_only)
        display.result(job.id, report, lines)


async def cancel(given: Given, places: Places, job_id: str, *, as_json: bool) -> None:
    """Stop a job."""
    async with some_edge(given, places) as edge:
        status = await (await edge.job(job_id)).cancel()
        print(json.dumps(plain(status)) if as_json else f"job {status.id}: {status.state}")


async def link(given: Given, places: Places, job_id: str, hours: float, *, as_json: bool) -> None:
    """Make a link to a job's result."""
    async with some_edge(given, places) as edge:
        made = await (await edge.job(job_id)).link(valid_s=hours * 3600)
        print(json.dumps(plain(made)) if as_json else f"{made.url}\nuntil {made.expires.astimezone():%F %T %Z}")


async def download(given: Given, places: Places, job_id: str, output: Path, display: Display) -> None:
    """Save a job's result, waiting for it if need be."""
    check_target(output)
    async with some_edge(given, places, display.edge) as edge:
        job = await edge.job(job_id)
        async with moving(display):
            if not job.state.is_final:
                display.job(job.status)
                await follow(job, display)
            await job.save(output, on_progress=on_transfer(display, Stage.DOWNLOAD))
        report = report_json(job.result(), total_seconds=job.result().total_seconds)
        display.result(str(output), report, [])


async def engines(given: Given, places: Places, *, as_json: bool) -> None:
    """Show what can render."""
    async with some_edge(given, places) as edge:
        told = await edge.capabilities()
    for engine in told.engines:
        if as_json:
            print(json.dumps(plain(engine)))
        else:
            print(f"{engine.name:<12} {'default' if engine.is_default else '':<8} {engine.summary}".rstrip())
    if not told.engines and not as_json:
        print("the nodes behind this edge have not reported any engine yet")


def plain(value: Any) -> dict[str, Any]:
    """A value of the SDK as JSON takes it."""

    def fit(part: Any) -> Any:
        if isinstance(part, dict):
            return {str(key): fit(inner) for key, inner in part.items()}
        return part.isoformat() if isinstance(part, datetime) else part

    fitted: dict[str, Any] = fit(dataclasses.asdict(value))
    return fitted


def _job_line(status: JobStatus) -> str:
    what = ""
    if status.failure is not None:
        what = f"{status.failure.reason}: {status.failure.message}"
    elif status.report is not None:
        seconds = status.report.frames / status.report.frame_rate if status.report.frame_rate else 0
        what = f"{status.report.frames} frames ({seconds:.1f} s) in {status.report.total_seconds:.1f} s"
        if status.report.sync is not None:
            what += f", sync {status.report.sync.score}"
            what += " (low)" if status.report.sync.is_low else ""
    engine = status.engine or (status.report.engine if status.report else "")
    created = status.created.astimezone().strftime("%Y-%m-%d %H:%M")
    return (
        f"{status.id:<28} {status.state:<10} {created:<17} {status.fit:<7} {engine:<8} {what}".rstrip()
        + until_words(status.expires)
    )
