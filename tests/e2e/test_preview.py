"""A result watched while it is made, on the real edge, node and Triton."""

import io
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import av
import numpy as np
import pytest

import viseme
from shared.sdk.jobs import Job
from shared.sdk.model import PreviewFragment, PreviewInit, PreviewPart
from tests.bench.clips import late_seconds, sound
from tests.stack import Stack

pytestmark = pytest.mark.stack

SLOW = ("--segment-seconds", "0.5", "--node-window", "1")
"""Many segments, one at a time: a job that is not over when its first fragment is there."""


def packets(data: bytes, kind: str) -> list[tuple[int | None, bytes]]:
    """The packets of one kind with their times, in order of showing."""
    with av.open(io.BytesIO(data)) as media:
        (stream,) = [one for one in media.streams if one.type == kind]
        found = [(packet.pts, bytes(packet)) for packet in media.demux(stream) if packet.size]
    return sorted(found, key=lambda one: one[0] or 0)


def frames(data: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(data)) as media:
        return [frame.to_ndarray(format="gray") for frame in media.decode(video=0)]


async def watched(job: Job, first: int = 0) -> tuple[PreviewInit, list[PreviewFragment]]:
    """All of a preview from a fragment on."""
    parts = [part async for part in job.preview(from_fragment=first)]
    init = parts[0]
    assert isinstance(init, PreviewInit)
    return init, [part for part in parts if isinstance(part, PreviewFragment)]


async def until(parts: AsyncIterator[PreviewPart], index: int) -> list[PreviewPart]:
    """What comes up to a fragment."""
    seen = []
    async for part in parts:
        seen.append(part)
        if isinstance(part, PreviewFragment) and part.index == index:
            break
    return seen


@pytest.fixture(scope="module")
def slow() -> Iterator[Stack]:
    with Stack(edge_flags=SLOW) as running:
        yield running


async def test_a_preview_is_the_result_and_outlives_the_edge(
    slow: Stack, clip: Path, speech: Path, tmp_path: Path
) -> None:
    async with viseme.connect(slow.edge) as edge:
        job = await edge.dub(clip, speech, fit="loop")
        async with aclosing(job.preview()) as parts:
            seen = await until(parts, 1)
            slow.kill("node")  # so that the job cannot end
            assert not (await job.refresh()).state.is_final
            slow.kill("edge")
            slow.start("edge")
            slow.start("node")
            # The same watcher goes on over a new connection, and others come.
            seen += [part async for part in parts]
        init, all_fragments = await watched(job)
        _, rest = await watched(job, 5)
        _, none = await watched(job, len(all_fragments))
        await job.wait()
        await job.save(tmp_path / "out.mp4")
        _, after = await watched(job)
        with pytest.raises(viseme.InvalidInputError, match="from_fragment"):
            await watched(job, len(all_fragments) + 1)
    assert seen == [init, *all_fragments]
    assert (rest, none, after) == (all_fragments[5:], [], all_fragments)
    assert [one.index for one in all_fragments] == list(range(job.result().segments))
    assert [one.end_seconds for one in all_fragments[:-1]] == [one.start_seconds for one in all_fragments[1:]]
    preview, result = b"".join(part.data for part in seen), (tmp_path / "out.mp4").read_bytes()
    assert packets(preview, "video") == packets(result, "video")
    assert packets(preview, "audio") == packets(result, "audio")
    assert all(map(np.array_equal, frames(preview), frames(result)))
    assert len(frames(preview)) == job.result().frames
    (tmp_path / "preview.mp4").write_bytes(preview)
    assert abs(late_seconds(sound(tmp_path / "preview.mp4"), sound(speech))) <= 0.025


async def test_a_preview_ends_as_its_job_does(slow: Stack, clip: Path, speech: Path) -> None:
    async with viseme.connect(slow.edge) as edge:
        job = await edge.dub(clip, speech, fit="loop")
        async with aclosing(job.preview()) as parts:
            await until(parts, 0)
            await job.cancel()
            with pytest.raises(viseme.CancelledByUserError):
                await until(parts, 10**6)
        with pytest.raises(viseme.CancelledByUserError):
            await watched(job)


def test_the_command_line_writes_the_preview_as_it_grows(stack: Stack, clip: Path, tmp_path: Path) -> None:
    output, report = tmp_path / "out.mp4", tmp_path / "report.json"
    words = ("dub", str(clip), str(clip), "-o", str(output), "--report", str(report), "--preview", "-")
    done = subprocess.run(stack.command(*words), capture_output=True, check=True)
    assert str(output) in done.stderr.decode()
    assert packets(done.stdout, "video") == packets(output.read_bytes(), "video")
    assert '"first_preview_s"' in report.read_text()
    # A player that goes away stops nothing.
    output.unlink()
    with subprocess.Popen(stack.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dubbing:
        assert dubbing.stdout is not None
        dubbing.stdout.close()
        _, told = dubbing.communicate()
    assert (dubbing.returncode, output.is_file()) == (0, True), told.decode()
    assert "nobody reads it" in told.decode()
