"""Edge and node one version apart: the older is that from before the last change of the wire between them."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

import viseme
from tests.bench.clips import look
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
WIRE = "protos/viseme/inference"
LOCAL = ("--engine-runtime", "local")


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip("the older version is not here: this is no clone, or a shallow one (git fetch --unshallow)")
    return done.stdout


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree from before the last change of the wire."""
    last = _git("log", "-1", "--format=%H", "--", WIRE).decode().strip()
    if not last:
        pytest.skip("the older version is not here: nothing is known of when the wire changed")
    before = _git("rev-parse", "--verify", "--quiet", f"{last}^").decode().strip()
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=BytesIO(_git("archive", before))) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _run_from(folder: Path) -> tuple[str, ...]:
    """What stands before a command, so that it runs this tree and not the one that is installed."""
    return ("env", "-C", str(folder), f"PYTHONPATH={folder}")


def _is_older(stack: Stack, part: str, folder: Path) -> bool:
    """Whether a part really runs from there."""
    return Path(f"/proc/{stack.parts[part].process.pid}/cwd").resolve() == folder.resolve()


@pytest.mark.parametrize("part", ["edge", "node"])
def test_a_job_is_done_where_one_part_is_a_version_older(
    part: str, older: Path, clip: Path, speech: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    with Stack(folder=tmp_path, node_flags=LOCAL, prefixes={part: _run_from(older), "client": ()}) as stack:
        assert _is_older(stack, part, older)
        report = stack.dub(clip, speech, output)
        assert look(output).frames == report["frames"] > 0
        assert report["untouched_frames"] < report["frames"], "a face was rendered"
        assert stack.stop("edge") == 0


async def test_an_older_node_does_not_hinder_a_deletion(older: Path, clip: Path, speech: Path, tmp_path: Path) -> None:
    with Stack(folder=tmp_path, node_flags=LOCAL, prefixes={"node": _run_from(older)}) as stack:
        async with viseme.connect(stack.edge) as edge:
            face = await edge.upload(clip)
            job = await edge.dub(face, speech)
            await job.wait()
            await job.delete()
            await edge.assets.delete(face.id)
            with pytest.raises(viseme.NotFoundError):
                await edge.assets.get(face.id)
        assert stack.stop("edge") == 0
        assert "cannot be told what to forget" in stack.log("edge")


async def test_an_edge_goes_on_with_the_data_of_an_older_one(
    older: Path, clip: Path, speech: Path, tmp_path: Path
) -> None:
    with Stack(folder=tmp_path, node_flags=LOCAL, prefixes={"edge": _run_from(older)}) as stack:
        async with viseme.connect(stack.edge) as edge:
            job = await edge.dub(await edge.upload(clip), speech)
            before = (await job.save(tmp_path / "before.mp4")).read_bytes()
            known = {one.id async for one in edge.assets.list()}
        assert stack.stop("edge") == 0
        stack.prefixes = {}
        stack.start("edge")
        assert not _is_older(stack, "edge", older)
        async with viseme.connect(stack.edge) as edge:
            assert {one.id async for one in edge.assets.list()} == known
            again = await edge.job(job.id)
            assert (await again.save(tmp_path / "after.mp4")).read_bytes() == before
            await (await edge.dub(await edge.upload(clip), speech)).wait()
