"""``viseme dub``: files in, a file out, on whatever edge there is."""

import asyncio
import errno
import json
import shlex
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.cli.display import Display, moving, on_transfer
from shared.cli.edges import Given, edges_of, open_edge
from shared.cli.local import PartNews, running_parts
from shared.cli.places import Places
from shared.cli.preview import PreviewTarget, check_preview
from shared.cli.report import report_json, waterfall
from shared.errors import ConflictError, DiskFullError, InvalidInputError, VisemeError
from shared.lock import locked
from shared.sdk.client import Edge
from shared.sdk.download import check_target
from shared.sdk.jobs import Job
from shared.sdk.library import is_edge_name
from shared.sdk.model import BACKGROUND_VOLUME, KEEP, FitMode, Stage
from shared.sdk.source import check_file
from shared.sdk.speaker import parts_of

_ANY_PORT = "127.0.0.1:0"
_CANCEL_SECONDS = 5.0


class Telling(Protocol):
    """What starting parts is told to."""

    def part(self, news: PartNews) -> None:
        """A part of this machine started, became ready, died."""

    def note(self, words: str) -> None:
        """Words for a person alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DubOrder:
    """What the user asked for."""

    video: Path | str
    """A file here, or the name of a library's file."""
    speech: Path | str | dict[str, Path | str]
    """The same; several by the names of the faces that speak."""
    speaker: str | dict[str, str] | None = None
    """Which face, or faces by name."""
    output: Path
    edge: Given
    fit: FitMode
    keep_length: bool
    engine: str
    background: Path | str | None = None
    """What is heard under the speech: a file here, the name of a library's file, or ``keep``."""
    background_volume: float = BACKGROUND_VOLUME
    rate_limit: float
    """Bytes a second for uploads; 0 for no limit."""
    timeout: float | None = None
    """Seconds that the job may take."""
    webhook: str = ""
    """Where its end is told."""
    report: Path | None
    preview: str
    """Where the preview goes; empty for nowhere."""
    as_json: bool
    words: tuple[str, ...]
    """The command as it was written, to be written again."""
    plain: bool


def check_order(order: DubOrder) -> None:
    """Find what is wrong before anything is started or sent.

    Raises:
        InvalidInputError: A file cannot be read, or the output not be written.
    """
    files = [(given, field) for given, field in _inputs(order) if isinstance(given, Path)]
    for path, field in files:
        check_file(path, field=field)
    parts_of(order.speech, order.speaker)
    check_target(order.output)
    for path, field in files:
        if order.output.exists() and order.output.samefile(path):
            raise InvalidInputError(f"{order.output} is the {field} itself; name another file", field="output")
    if order.preview:
        check_preview(order.preview, as_json=order.as_json)
    if order.report is not None and not _takes_words(order.report):
        try:
            check_target(order.report)
        except InvalidInputError as error:
            raise InvalidInputError(error.message, field="report") from error


def file_or_name(text: str) -> Path | str:
    """What an argument means: the name of a library's file, or a file here; ``./lib:x`` is a file."""
    return text if is_edge_name(text) else Path(text)


def background_of(text: str) -> Path | str | None:
    """What ``--background`` means; ``./keep`` is a file."""
    return text if text == KEEP else file_or_name(text) if text else None


def read_voices(
    audio: str | None, speeches: Sequence[str], speakers: Sequence[str]
) -> tuple[Path | str | dict[str, Path | str], str | dict[str, str] | None]:
    """What ``AUDIO``, ``--speech`` and ``--speaker`` mean together: the speech or speeches, and the face or faces.

    Raises:
        InvalidInputError: they do not go together, or a name comes twice.
    """
    if not speeches:
        if audio is None:
            raise InvalidInputError("give AUDIO, or --speech NAME=FILE for each face that speaks", field="speech")
        if len(speakers) > 1:
            raise InvalidInputError("one AUDIO has one --speaker; for several use --speech NAME=FILE", field="speaker")
        return file_or_name(audio), speakers[0] if speakers else None
    if audio is not None:
        raise InvalidInputError("give AUDIO or --speech NAME=FILE, not both", field="speech")
    files = {name: file_or_name(file) for name, file in _named(speeches, "speech", "FILE").items()}
    return files, _named(speakers, "speaker", "X,Y@T") or None


def _named(given: Sequence[str], field: str, what: str) -> dict[str, str]:
    named: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals and value):
            raise InvalidInputError(f"{one!r} is not NAME={what}", field=field)
        if name in named:
            raise InvalidInputError(f"the face {name!r} is given twice; one face has one {field}", field=field)
        named[name] = value
    return named


def _inputs(order: DubOrder) -> tuple[tuple[Path | str, str], ...]:
    speeches = order.speech.values() if isinstance(order.speech, dict) else (order.speech,)
    given = ((order.video, "video"), *((speech, "speech") for speech in speeches))
    under = order.background
    return given if under is None or under == KEEP else (*given, (under, "background"))


def check_no_names(order: DubOrder) -> None:
    """Refuse names where there is nobody who could know them.

    Raises:
        InvalidInputError: One was given.
    """
    for given, field in _inputs(order):
        if is_edge_name(given):
            message = f"{given} lies at an edge, and none runs here; name one with --edge HOST:PORT"
            raise InvalidInputError(message, field=field)


async def dub(order: DubOrder, places: Places, display: Display) -> None:
    """Do it.

    Raises:
        VisemeError: It did not work out.
        asyncio.CancelledError: Interrupted; the job was cancelled and the user told how to go on.
    """
    check_order(order)
    async with AsyncExitStack() as stack:
        addresses = await edges_of(order.edge, places)
        if not addresses:
            check_no_names(order)
            addresses = [await stack.enter_async_context(own_parts(places, display))]
        edge = await stack.enter_async_context(open_edge(addresses, places, display.edge))
        await _dub_at(edge, order, display)


async def _dub_at(edge: Edge, order: DubOrder, display: Display) -> None:
    job: Job | None = None
    begun = time.monotonic()
    target = PreviewTarget(order.preview, begun) if order.preview else None
    try:
        async with moving(display):
            job = await edge.dub(
                order.video,
                order.speech,
                speaker=order.speaker,
                fit=order.fit,
                keep_length=order.keep_length,
                engine=order.engine,
                background=order.background,
                background_volume=order.background_volume,
                on_progress=on_transfer(display, Stage.UPLOAD),
                rate_limit=order.rate_limit,
                take_up=True,
                timeout=order.timeout,
                webhook=order.webhook,
            )
            display.job(job.status)
            if job.is_taken_up:
                display.note(f"job {job.id} of these files and options is not over: going on with it")
            async with target.watching(job, display) if target else nullcontext():
                await follow(job, display)
                await job.save(order.output, on_progress=on_transfer(display, Stage.DOWNLOAD))
                total = time.monotonic() - begun
    except asyncio.CancelledError:
        await _let_go(job, order, display)
        raise
    report = report_json(job.result(), total_seconds=total, first_preview_s=target.first_s if target else None)
    if order.report is not None:
        _write_report(order.report, json.dumps(report, indent=2) + "\n")
    lines = waterfall(report, plain=order.plain)
    display.result(str(order.output), report, lines)


def _takes_words(path: Path) -> bool:
    """Whether it is there and no file, like /dev/stdout: a report is written into it and does not replace it."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _write_report(path: Path, words: str) -> None:
    try:
        path.write_text(words, encoding="utf-8")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(f"no room left for {path}", field="report") from error
        raise InvalidInputError(f"{path} cannot be written: {error.strerror}", field="report") from error


async def follow(job: Job, display: Display) -> None:
    """Show a job's events to its end.

    Raises:
        VisemeError: It failed or was cancelled.
    """
    async for event in job.events():
        display.event(event)
    job.result()


async def _let_go(job: Job | None, order: DubOrder, display: Display) -> None:
    """Cancel the job and say how to go on; a second Ctrl-C ends this as well."""
    again = shlex.join(order.words)
    if job is None:
        display.note(f"Interrupted. What was uploaded need not be sent again; to go on:\n  {again}")
        return
    try:
        async with asyncio.timeout(_CANCEL_SECONDS):
            status = await job.cancel()
        said = f"Interrupted; job {job.id} is {status.state}."
    except (VisemeError, TimeoutError):
        said = f"Interrupted; job {job.id} could not be cancelled as the edge does not answer."
    display.note(f"{said} To take it up again (what was uploaded need not be sent again):\n  {again}")


@asynccontextmanager
async def own_parts(places: Places, display: Telling) -> AsyncIterator[str]:
    """Start the parts for this run alone; gives the edge's address."""
    display.note("no edge runs on this machine: starting one for this run (`viseme up` keeps one running)")
    async with AsyncExitStack() as stack:
        data = places.data
        try:
            stack.enter_context(locked(data))
        except ConflictError:
            # Somebody else's run has the folder; this one takes a folder of its own.
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="viseme-", ignore_cleanup_errors=True)))
        parts = await stack.enter_async_context(
            running_parts(
                data=data,
                edge_listens={"listen": _ANY_PORT, "web": _ANY_PORT, "metrics": _ANY_PORT},
                node_listens={"listen": _ANY_PORT, "metrics": _ANY_PORT},
                models=places.models.absolute(),
                tell=display.part,
            )
        )
        yield parts.edge["rpc"]
