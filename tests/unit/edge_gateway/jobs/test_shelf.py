"""Faces on disk stay within a limit, and whatever happens meanwhile no face is there in part."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from edge_gateway.jobs.shelf import FaceShelf

SIZE = 1000


def _key(video: str) -> str:
    return video * 64 + "-0123456789abcdef"


def _face(root: Path, video: str, *, age: int) -> Path:
    folder = root / _key(video)
    folder.mkdir()
    (folder / "track.jsonl").write_bytes(b"t" * 100)
    (folder / "crop-00000.mp4").write_bytes(b"c" * (SIZE - 100))
    os.utime(folder, (1e9 - age, 1e9 - age))
    return folder


def _there(root: Path) -> str:
    return "".join(sorted(folder.name[0] for folder in root.iterdir()))


class Jobs:
    def __init__(self, *videos: str) -> None:
        self.videos = {video * 64 for video in videos}

    async def __call__(self) -> set[str]:
        return self.videos


async def test_the_face_that_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    for age, video in enumerate("abcd"):
        _face(tmp_path, video, age=age)
    await FaceShelf(tmp_path, 2 * SIZE, Jobs()).trim()
    assert _there(tmp_path) == "ab"


async def test_within_the_limit_nothing_goes(tmp_path: Path) -> None:
    for age, video in enumerate("ab"):
        _face(tmp_path, video, age=age)
    await FaceShelf(tmp_path, 2 * SIZE, Jobs()).trim()
    assert _there(tmp_path) == "ab"


async def test_faces_of_unfinished_jobs_and_open_ones_stay(tmp_path: Path) -> None:
    for age, video in enumerate("abcd"):
        _face(tmp_path, video, age=age)
    jobs = Jobs("d")
    shelf = FaceShelf(tmp_path, 0, jobs)
    shelf.take(_key("c"))
    await shelf.trim()
    assert _there(tmp_path) == "cd"
    jobs.videos.clear()
    shelf.put(_key("c"))
    await shelf.trim()
    assert _there(tmp_path) == ""


async def test_use_renews_a_face(tmp_path: Path) -> None:
    for age, video in enumerate("abc"):
        _face(tmp_path, video, age=age)
    shelf = FaceShelf(tmp_path, 2 * SIZE, Jobs())
    shelf.take(_key("c"))
    shelf.put(_key("c"))
    await shelf.trim()
    assert _there(tmp_path) == "ac"


async def test_a_face_that_grew_is_measured_again(tmp_path: Path) -> None:
    for age, video in enumerate("ab"):
        _face(tmp_path, video, age=age)
    shelf = FaceShelf(tmp_path, 2 * SIZE, Jobs())
    await shelf.trim()
    shelf.take(_key("a"))
    (tmp_path / _key("a") / "crop-00001.mp4").write_bytes(b"x")
    shelf.put(_key("a"))
    await shelf.trim()
    assert _there(tmp_path) == "a"


async def test_what_a_crash_left_half_deleted_goes_at_the_next_start(tmp_path: Path) -> None:
    _face(tmp_path, "a", age=0)
    going = _face(tmp_path, "b", age=1).rename(tmp_path / f".going-{_key('b')}")
    (going / "track.jsonl").unlink()
    await FaceShelf(tmp_path, 10 * SIZE, Jobs()).trim()
    assert [folder.name for folder in tmp_path.iterdir()] == [_key("a")]


async def test_an_end_in_the_middle_leaves_every_face_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, video in enumerate("abc"):
        _face(tmp_path, video, age=age)

    def die(path: Path) -> None:
        (path / "track.jsonl").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr("shutil.rmtree", lambda path, **_: die(path))
        await FaceShelf(tmp_path, SIZE, Jobs()).trim()
    visible = [folder for folder in tmp_path.iterdir() if not folder.name.startswith(".")]
    assert all(len(list(folder.iterdir())) == 2 for folder in visible)
    await FaceShelf(tmp_path, SIZE, Jobs()).trim()
    assert _there(tmp_path) == "a"


async def test_it_works_on_its_own_until_cancelled(tmp_path: Path) -> None:
    _face(tmp_path, "a", age=0)
    jobs = Jobs("a")
    shelf = FaceShelf(tmp_path, 0, jobs)
    asyncio.get_running_loop().call_later(0.05, jobs.videos.clear)
    asyncio.get_running_loop().call_later(0.1, shelf.wake)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await shelf.run()
    assert _there(tmp_path) == ""


async def test_a_face_goes_once_its_time_is_over_unless_a_job_needs_it(tmp_path: Path) -> None:
    for age, video in enumerate("abcd"):
        _face(tmp_path, video, age=age)
    gone: list[int] = []
    shelf = FaceShelf(tmp_path, 9 * SIZE, Jobs("d"), keep_s=2.0, clock_ns=lambda: 10**18, on_gone=gone.append)
    await shelf.trim()
    assert _there(tmp_path) == "abd"
    assert gone == [SIZE]
