"""A job and its files are deleted: no byte of what they were is left with the edge, nor with the node."""

import asyncio
import shutil
from pathlib import Path

import pytest

import viseme
from shared.digest import CHUNK_BYTES, chunk_digest, file_digest
from tests.stack import Stack

pytestmark = pytest.mark.stack

NAME = "Quarterly-Secret-7d1c"
MARKER = b"nobody-may-read-this-5e0b"
GONE_S = 30
"""Deletions of many files are erased together, a second later, and a node is told meanwhile."""


def _marked(clip: Path, folder: Path, name: str) -> Path:
    """The same film with words in it that players skip."""
    path = folder / name
    box = len(MARKER) + 8
    path.write_bytes(clip.read_bytes() + box.to_bytes(4, "big") + b"free" + MARKER)
    return path


def _traces(root: Path, wanted: dict[str, bytes]) -> set[str]:
    """Which of these stand in the name or the content of any file."""
    found = set()
    for path in root.rglob("*"):
        told = str(path.relative_to(root)).encode()
        if path.is_file():
            told += path.read_bytes()
        found |= {name for name, value in wanted.items() if value in told}
    return found


def _marks(file: Path, asset_id: str) -> dict[str, bytes]:
    whole, first = file_digest(file), chunk_digest(file.read_bytes()[:CHUNK_BYTES])
    return {
        "name": file.stem.encode(),
        "content": MARKER,
        "asset": asset_id.encode(),
        "chunk digest": first,
        "chunk digest in words": first.hex().encode(),
        "file digest": whole,
        "file digest in words": whole.hex().encode(),
    }


async def test_what_was_deleted_is_nowhere_any_more(clip: Path, speech: Path, tmp_path: Path) -> None:
    video = _marked(clip, tmp_path, f"{NAME}.mp4")
    voice = shutil.copy(speech, tmp_path / f"{NAME}-voice.wav")
    other = shutil.copy(speech, tmp_path / "stays.wav")
    other.write_bytes(other.read_bytes() + b"LIST\x04\x00\x00\x00INFO")
    with Stack(node_flags=("--engine-runtime", "local")) as stack:
        data, cache = stack.root / "edge", stack.root / "node" / "cache"
        async with viseme.connect(stack.edge) as edge:
            face, sound, kept = [await edge.upload(one) for one in (video, voice, other)]
            job = await edge.dub(face, sound)
            result = await job.save(tmp_path / "out.mp4")
            assert Path(result).stat().st_size > 0
            await edge.assets.save(
                face.id, tmp_path / "copy.mp4"
            )  # by which the edge makes the digest of the whole file
            marks = _marks(video, face.id)
            assert _traces(data, marks) >= {"name", "content", "asset", "chunk digest"}
            assert any(path.is_file() for path in cache.rglob("*"))

            await job.delete()
            await edge.assets.delete(face.id)
            await edge.assets.delete(sound.id)
            async with asyncio.timeout(GONE_S):
                while _traces(data, marks) or any(path.is_file() for path in cache.rglob("*")):
                    await asyncio.to_thread(lambda: None)
            assert [one.id async for one in edge.assets.list()] == [kept.id]
            # The mark that the job was deleted stays, for those who followed it.
            assert _traces(data, {"job": job.id.encode()})
