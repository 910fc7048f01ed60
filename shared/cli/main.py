"""The ``viseme`` command. Imports are lazy: ``viseme --help`` must come at once."""

import os
import sys
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.cli.assets import assets
from shared.cli.certs import certs
from shared.cli.command import (
    EdgeOption,
    JobArgument,
    JsonOption,
    OutputOption,
    RateOption,
    TimeoutOption,
    WebhookOption,
    places,
    run_command,
    speaks_unicode,
)
from shared.cli.engines import ModelsOption, engines
from shared.cli.exits import WORDS, ExitCode
from shared.cli.gc import EXAMPLES, gc
from shared.cli.keys import keys
from shared.cli.webhooks import webhooks
from shared.memory import KEEP_MESSAGES, set_malloc

if TYPE_CHECKING:
    from shared.cli.display import Display

app = typer.Typer(
    name="viseme",
    help="Make the face in a video or photo speak a recording.",
    epilog=WORDS,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


app.add_typer(assets)
app.add_typer(engines)
app.add_typer(webhooks)
app.add_typer(certs)
app.add_typer(keys)
app.command(epilog=EXAMPLES)(gc)


_PUSH_EXAMPLES = """\b
viseme push *.mp4 --limit-rate 2M    overnight, on a link that others use, too
viseme assets list                   what is there by now
viseme dub a.mp4 b.wav -o out.mp4    sends nothing again
"""


class Fit(StrEnum):
    """When the speech is longer than the video."""

    TRIM = "trim"
    LOOP = "loop"
    BOUNCE = "bounce"
    HOLD = "hold"


class Walls(StrEnum):
    """How files of others are opened."""

    WALLS = "walls"
    LIMITS = "limits"


def _show_version(wanted: bool) -> None:
    if wanted:
        from shared.version import version

        print(f"viseme {version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


_DUB_EXAMPLES = """\b
The face that speaks is the largest of each shot, or the one that --speaker names:
  --speaker 640,300@1:07.5   at this point of the frame (pixels, or shares of
                             width and height up to 1) at this time (default 0)
  --speaker left             of the faces that are first seen together
  --speaker who.json         [{"t": 1.2, "box": [x, y, width, height]}, ...]:
                             each box holds until the next; times rise
Several faces, each with a speech of its own (at most 4):
  viseme dub talk.mp4 -o out.mp4 --speech left=a.wav --speech right=b.wav
  viseme dub talk.mp4 -o out.mp4 --speech anna=a.wav --speaker anna=640,300@2 \\
                                 --speech right=b.wav
"""


@app.command(epilog=_DUB_EXAMPLES)
def dub(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A video or photo, or asset:ID from `viseme faces`.")],
    output: OutputOption,
    audio: Annotated[
        str | None, typer.Argument(metavar="[AUDIO]", help="The speech, or a video whose sound is taken.")
    ] = None,
    edge: EdgeOption = None,
    speaker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHO", help="The face that speaks: X,Y@T, a JSON file of boxes, left, right, center or largest."
        ),
    ] = None,
    speech: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="In place of AUDIO, once for each face that speaks: left=a.wav."),
    ] = None,
    fit: Annotated[Fit, typer.Option(help="When the speech is longer than the video.")] = Fit.BOUNCE,
    keep_length: Annotated[
        bool, typer.Option("--keep-length", help="When the speech is shorter: keep the whole video.")
    ] = False,
    engine: Annotated[str, typer.Option(metavar="NAME", help="The engine, from `viseme engines`.")] = "",
    background: Annotated[
        str, typer.Option(metavar="FILE|keep", help="Sound under the speech: a file's, or the video's own.")
    ] = "",
    background_volume: Annotated[
        float, typer.Option(min=0, max=2, metavar="V", help="What that sound is multiplied by.")
    ] = 0.3,
    limit_rate: RateOption = "",
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the waterfall as JSON.")] = None,
    timeout: TimeoutOption = None,
    webhook: WebhookOption = "",
    preview: Annotated[
        str, typer.Option(metavar="FILE", help="Write the result as it is made; `--preview - | mpv -` plays it.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Make VIDEO speak AUDIO, each a file here or one that lies at the edge (lib:LIBRARY/path).

    Without --edge it uses the edge that runs on this machine, or starts the parts for this run and stops them after.
    """

    def run_dub(display: "Display") -> Coroutine[Any, Any, None]:
        from shared.cli.dub import DubOrder, background_of, file_or_name, read_voices
        from shared.cli.dub import dub as work
        from shared.cli.rate import read_rate
        from shared.sdk.model import FitMode

        speeches, who = read_voices(audio, speech or (), speaker or ())
        order = DubOrder(
            video=file_or_name(video),
            speech=speeches,
            speaker=who,
            output=output,
            edge=edge,
            fit=FitMode(fit.value),
            keep_length=keep_length,
            engine=engine,
            background=background_of(background),
            background_volume=background_volume,
            rate_limit=read_rate(limit_rate),
            timeout=timeout,
            webhook=webhook,
            report=report,
            preview=preview,
            as_json=as_json,
            words=("viseme", *sys.argv[1:]),
            plain=not speaks_unicode(),
        )
        return work(order, places(), display)

    run_command(run_dub, as_json=as_json)


_BATCH_EXAMPLES = """\b
viseme batch shoots -o out            clip.mp4 and clip.wav make out/clip.mp4
viseme batch clips -o out --speech hello.wav   one recording for all videos
viseme batch takes -o out --video face.mp4     all recordings on one face
viseme batch list.csv -o out          lines of video,speech or video,speech,output
Run it again and only what is missing is done.
"""


@app.command(epilog=_BATCH_EXAMPLES)
def batch(
    source: Annotated[Path, typer.Argument(metavar="LIST.csv|FOLDER", help="What belongs together.", exists=True)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder of the results.")],
    edge: EdgeOption = None,
    speech: Annotated[str, typer.Option(metavar="FILE", help="One recording for all videos of FOLDER.")] = "",
    video: Annotated[str, typer.Option(metavar="FILE", help="One video for all recordings of FOLDER.")] = "",
    concurrency: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Jobs at once.")] = 8,
    fit: Annotated[Fit, typer.Option(help="When a speech is longer than its video.")] = Fit.BOUNCE,
    keep_length: Annotated[
        bool, typer.Option("--keep-length", help="When a speech is shorter: keep the whole video.")
    ] = False,
    engine: Annotated[str, typer.Option(metavar="NAME", help="The engine, from `viseme engines`.")] = "",
    background: Annotated[
        str, typer.Option(metavar="FILE|keep", help="Sound under the speeches: a file's, or the videos' own.")
    ] = "",
    background_volume: Annotated[
        float, typer.Option(min=0, max=2, metavar="V", help="What that sound is multiplied by.")
    ] = 0.3,
    limit_rate: RateOption = "",
    timeout: TimeoutOption = None,
    webhook: WebhookOption = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a result on stdout, as each ends; no bars.")
    ] = False,
) -> None:
    """Dub many pairs into DIR. One failure does not stop the rest; the exit code tells of the first.

    Run it again and only what is missing is done, also after Ctrl-C or a crash: DIR keeps a list of what is there.
    """

    def run_batch(_display: "Display") -> Coroutine[Any, Any, None]:
        from shared.cli.batch import BatchOrder
        from shared.cli.batch import batch as work
        from shared.cli.dub import background_of, file_or_name
        from shared.cli.rate import read_rate

        order = BatchOrder(
            source=source,
            output=output,
            speech=file_or_name(speech) if speech else None,
            video=file_or_name(video) if video else None,
            edge=edge,
            concurrency=concurrency,
            options={
                "fit": fit.value,
                "keep_length": keep_length,
                "engine": engine,
                "background": background_of(background),
                "background_volume": background_volume,
                "timeout": timeout,
                "webhook": webhook,
            },
            rate_limit=read_rate(limit_rate),
            as_json=as_json,
            words=("viseme", *sys.argv[1:]),
        )
        return work(order, places())

    run_command(run_batch, as_json=as_json)


@app.command(epilog=_PUSH_EXAMPLES)
def push(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Videos, photos, recordings.")],
    edge: EdgeOption = None,
    limit_rate: RateOption = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a file on stdout, as each ends; no bars.")
    ] = False,
) -> None:
    """Bring FILES to the edge ahead of any job.

    A later `viseme dub` with the same files sends nothing again. Several files go at once and share the link; one that
    was interrupted goes on where it was, also from another machine that has the same file. Prints the id and the path
    of each; a file that cannot be brought is told on stderr, the others still go on, and the exit code is not 0.
    """

    def run_push(display: "Display") -> Coroutine[Any, Any, None]:
        from shared.cli.push import push as work
        from shared.cli.rate import read_rate

        return work(files, edge, places(), display, rate_limit=read_rate(limit_rate), as_json=as_json)

    run_command(run_push, as_json=as_json)


@app.command()
def up(
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where everything is kept; else ~/.local/share/viseme.")
    ] = None,
    listen: Annotated[str, typer.Option(metavar="ADDR:PORT", help="The edge, for clients.")] = "127.0.0.1:50051",
    web: Annotated[str, typer.Option(metavar="ADDR:PORT", help="The edge's page.")] = "127.0.0.1:7860",
    metrics: Annotated[str, typer.Option(metavar="ADDR:PORT", help="The edge's /metrics.")] = "127.0.0.1:9464",
    node_listen: Annotated[str, typer.Option(metavar="ADDR:PORT", help="The node, for the edge.")] = "127.0.0.1:50061",
    node_metrics: Annotated[str, typer.Option(metavar="ADDR:PORT", help="The node's /metrics.")] = "127.0.0.1:9465",
    models: ModelsOption = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond this machine without TLS.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run edge, node and Triton on this machine until Ctrl-C."""

    def run_up(display: "Display") -> Coroutine[Any, Any, None]:
        from shared.cli.up import UpOrder
        from shared.cli.up import up as work
        from shared.rpc.address import parse_listen

        edge_listens = {"listen": listen, "web": web, "metrics": metrics}
        node_listens = {"listen": node_listen, "metrics": node_metrics}
        for name, address in (*edge_listens.items(), *((f"node-{k}", v) for k, v in node_listens.items())):
            parse_listen(address, field=name, insecure=insecure)
        order = UpOrder(
            data=(data or places().data).resolve(),
            edge_listens=edge_listens,
            node_listens=node_listens,
            models=(models or places().models).absolute(),
            flags=("--insecure",) if insecure else (),
        )
        return work(order, places().state, display)

    run_command(run_up, as_json=as_json, stop_is_fine=True)


@app.command()
def jobs(
    edge: EdgeOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List jobs."""
    from shared.cli import jobs as work

    run_command(lambda _display: work.list_jobs(edge, places(), limit=limit, as_json=as_json), as_json=as_json)


@app.command()
def faces(
    edge: EdgeOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, newest use first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the videos and photos that jobs used: `viseme dub asset:ID speech.wav` uploads only speech."""
    from shared.cli import faces as work

    run_command(lambda _display: work.list_faces(edge, places(), limit=limit, as_json=as_json), as_json=as_json)


@app.command()
def watch(job: JobArgument, edge: EdgeOption = None, as_json: JsonOption = False) -> None:
    """Follow a job to its end."""
    from shared.cli import jobs as work

    run_command(
        lambda display: work.watch(edge, places(), job, display, ascii_only=not speaks_unicode()), as_json=as_json
    )


_DOCTOR_EXAMPLES = """\b
viseme doctor                                      the edge of this machine
viseme doctor --edge eu:50051 --edge us:50051      which of them is best from here
viseme doctor --edge eu:50051 talk.mp4 speech.wav  what this job would take, and why
"""


@app.command(epilog=_DOCTOR_EXAMPLES)
def doctor(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILES]", help="The video or photo of a job, then its speeches.")
    ] = None,
    edge: Annotated[
        list[str] | None,
        typer.Option("--edge", metavar="HOST:PORT", envvar="VISEME_EDGE", help="An edge to measure; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an edge on stdout.")] = False,
) -> None:
    """Say what is slow: your uplink, the distance, the edge, the link to the GPU, or the GPU.

    Measures round trip, jitter and throughput to each edge and from there to the GPU, clocks and encryption; sends up
    to 32 MB each way, for two seconds each, and nothing of FILES. With FILES it tells what that job would take, next
    to sending the whole files to the GPU.
    """
    from shared.cli import doctor as work

    run_command(lambda _display: work.doctor(edge or (), files or (), places(), as_json=as_json), as_json=as_json)


@app.command()
def cancel(job: JobArgument, edge: EdgeOption = None, as_json: JsonOption = False) -> None:
    """Stop a job."""
    from shared.cli import jobs as work

    run_command(lambda _display: work.cancel(edge, places(), job, as_json=as_json), as_json=as_json)


@app.command()
def download(job: JobArgument, output: OutputOption, edge: EdgeOption = None, as_json: JsonOption = False) -> None:
    """Save a job's result, waiting for it if need be; takes up a download that broke."""
    from shared.cli import jobs as work

    run_command(lambda display: work.download(edge, places(), job, output, display), as_json=as_json)


@app.command()
def link(
    job: JobArgument,
    hours: Annotated[float, typer.Option(metavar="HOURS", help="For how long the link is good.")] = 24.0,
    edge: EdgeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a link by which anybody may fetch a job's result, without a key, until its time is over."""
    from shared.cli import jobs as work

    run_command(lambda _display: work.link(edge, places(), job, hours, as_json=as_json), as_json=as_json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video: an MP4.")],
    trust: Annotated[
        Path | None,
        typer.Option(metavar="FILE.pem", help="Authorities; a signer for whom none of them vouches is no good."),
    ] = None,
    sandbox: Annotated[
        Walls, typer.Option(help="Open FILE behind Landlock and seccomp, or with bounded memory and time alone.")
    ] = Walls.WALLS,
    as_json: JsonOption = False,
) -> None:
    """Tell what FILE claims of how it was made, and whether that holds.

    Exit code 0: it is as it was when it was signed. 7: it was changed, or its signer is not one of --trust. 8: it has
    no signed claim, or somebody has removed it. 3: it is no media.
    """
    from shared.cli.verify import verify as work

    run_command(lambda _display: work(file, trust, walls=sandbox is Walls.WALLS, as_json=as_json), as_json=as_json)


def run() -> None:
    """The entry point."""
    for name in ("stdout", "stderr"):
        # Whoever started us may have closed it: Python has None there, and the next file would take its number.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open to the end
    # gRPC's own log lines are for its developers; set before it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    set_malloc(KEEP_MESSAGES, os.environ)
    try:
        app(prog_name="viseme")
    except SystemExit as end:
        if end.code == ExitCode.USAGE:
            _explain_dashes(sys.argv[1:])
        raise


def _explain_dashes(words: list[str]) -> None:
    """Tell whoever named a file that begins with a dash how to name it."""
    plain = words[: words.index("--")] if "--" in words else words
    for word in plain:
        if word.startswith("-") and len(word) > 2 and Path(word).exists():
            print(f"viseme: {word} was taken for an option; for the file write ./{word}", file=sys.stderr)
