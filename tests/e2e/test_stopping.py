"""What is cancelled or out of time stops everywhere, up to the node: its queue drops it, nothing more is inferred."""

import asyncio
import json
import re
import signal
import subprocess
import urllib.request
import wave
from pathlib import Path

import pytest

import viseme
from tests.stack import Stack

pytestmark = pytest.mark.stack

TIMES = 8


@pytest.fixture(scope="module")
def long_speech(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "long.wav"
    with wave.open(str(speech)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getnframes()) * TIMES)
    return path


def figure(stack: Stack, name: str) -> float:
    """One of the node's figures, over all labels."""
    with urllib.request.urlopen(f"http://{stack.parts['node'].ready.addresses['metrics']}/metrics") as page:
        lines = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", page.read().decode(), flags=re.MULTILINE)
    return sum(map(float, lines))


async def until_idle(stack: Stack) -> None:
    async with asyncio.timeout(20):
        while await asyncio.to_thread(figure, stack, "viseme_node_jobs"):  # noqa: ASYNC110 - it is scraped
            await asyncio.sleep(0.02)
    assert figure(stack, "viseme_node_queue_depth") == 0


async def until_inferring(job: viseme.Job) -> None:
    async for event in job.events():
        if isinstance(event, viseme.Progress) and event.stage is viseme.Stage.INFER and event.done_frames:
            return


async def check_nothing_more(stack: Stack, edge: viseme.Edge, before: float, portrait: Path, speech: Path) -> None:
    """After a whole further job the node has rendered the segments of that and no others."""
    job = await edge.dub(portrait, speech)
    report = await job.wait()
    assert figure(stack, "viseme_node_segments_rendered_total") == before + report.segments


async def test_cancelling_reaches_the_node(stack: Stack, portrait: Path, long_speech: Path, short_speech: Path) -> None:
    async with viseme.connect(stack.edge) as edge:
        job = await edge.dub(portrait, long_speech)
        await until_inferring(job)
        assert (await job.cancel()).state is viseme.JobState.CANCELLED
        await until_idle(stack)
        rendered = figure(stack, "viseme_node_segments_rendered_total")
        await check_nothing_more(stack, edge, rendered, portrait, short_speech)


async def test_a_batch_that_is_left_reaches_the_node(
    stack: Stack, portrait: Path, long_speech: Path, short_speech: Path
) -> None:
    inferring = asyncio.Event()

    def told(event: viseme.Progress | viseme.StateChanged | viseme.Notice) -> None:
        if isinstance(event, viseme.Progress) and event.stage is viseme.Stage.INFER and event.done_frames:
            inferring.set()

    async with viseme.connect(stack.edge) as edge:
        many = edge.dub_many([(portrait, long_speech)] * 3, concurrency=2, on_event=told)
        waiting = asyncio.ensure_future(anext(many))
        async with asyncio.timeout(120):
            await inferring.wait()
        waiting.cancel()
        await asyncio.wait({waiting})
        await many.aclose()
        await until_idle(stack)
        rendered = figure(stack, "viseme_node_segments_rendered_total")
        await check_nothing_more(stack, edge, rendered, portrait, short_speech)


async def test_the_time_of_a_job_ends_it_though_its_client_was_killed(
    stack: Stack, portrait: Path, long_speech: Path, short_speech: Path, tmp_path: Path
) -> None:
    command = ("dub", str(portrait), str(long_speech), "-o", str(tmp_path / "out.mp4"), "--timeout", "9", "--json")
    client = subprocess.Popen(stack.command(*command), stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    assert client.stdout is not None
    job_id = next(told["job_id"] for line in client.stdout if (told := json.loads(line))["event"] == "job")
    async with viseme.connect(stack.edge) as edge:
        job = await edge.job(job_id)
        await until_inferring(job)
        client.send_signal(signal.SIGKILL)
        client.wait()
        client.stdout.close()
        with pytest.raises(viseme.JobFailedError) as failed:
            await job.wait()
        assert (failed.value.cause_reason, failed.value.field) == ("deadline_exceeded", "timeout")
        assert 9 <= (job.status.updated - job.status.created).total_seconds() < 12
        await until_idle(stack)
        rendered = figure(stack, "viseme_node_segments_rendered_total")
        await check_nothing_more(stack, edge, rendered, portrait, short_speech)
