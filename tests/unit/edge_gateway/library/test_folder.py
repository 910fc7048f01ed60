"""A folder shows nothing that lies outside of it, and nothing but files."""

import os
import threading
from pathlib import Path

import pytest

from edge_gateway.library.folder import Folder
from edge_gateway.library.place import ChangedError
from shared.errors import LimitExceededError, NotFoundError, UnavailableError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.mp4").write_text("clip")
    return tmp_path / "root"


@pytest.mark.parametrize("name", ["link", "folder/secret", "inner", "absolute", "pipe"])
async def test_links_and_pipes_are_not_followed(root: Path, name: str) -> None:
    (root / "link").symlink_to("../outside/secret")
    (root / "folder").symlink_to("../outside")
    (root / "inner").symlink_to("a.mp4")
    (root / "absolute").symlink_to(root.parent / "outside" / "secret")
    os.mkfifo(root / "pipe")
    place = Folder(root, entries=100)
    with pytest.raises(NotFoundError):
        await place.look(name)
    assert [entry.path for entry in await place.page("", "", 100)] == ["a.mp4"]
    assert await place.page("folder", "", 100) == []


async def test_a_link_put_in_the_place_of_a_file_that_was_looked_at_is_not_opened(root: Path) -> None:
    place = Folder(root, entries=100)
    entry = await place.look("a.mp4")
    (root / "a.mp4").unlink()
    (root / "a.mp4").symlink_to("../outside/secret")
    with pytest.raises((NotFoundError, ChangedError)):
        async with place.open(entry):
            pass


async def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(root)
    assert (await Folder(tmp_path / "named", entries=100).look("a.mp4")).size_bytes == 4


async def test_a_change_shows_even_where_size_and_time_are_set_back(root: Path) -> None:
    place = Folder(root, entries=100)
    os.utime(root / "a.mp4", ns=(10**18, 10**18))
    before = await place.look("a.mp4")
    while (await place.look("a.mp4")).stamp == before.stamp:  # the kernel's clock ticks a few hundred times a second
        (root / "a.mp4").write_text("CLIP")
        os.utime(root / "a.mp4", ns=(10**18, 10**18))
    after = await place.look("a.mp4")
    assert (after.size_bytes, after.modified_us) == (before.size_bytes, before.modified_us)


async def test_a_file_that_became_shorter_while_it_is_open_has_changed(root: Path) -> None:
    place = Folder(root, entries=100)
    async with place.open(await place.look("a.mp4")) as file:
        os.truncate(root / "a.mp4", 2)
        with pytest.raises(ChangedError):
            await file.read(0, 4)


async def test_a_folder_that_is_not_mounted_is_unavailable(tmp_path: Path) -> None:
    place = Folder(tmp_path / "absent", entries=100)
    with pytest.raises(UnavailableError, match="cannot be read"):
        await place.look("a.mp4")
    with pytest.raises(UnavailableError, match="cannot be read"):
        await place.page("", "", 10)


async def test_a_disk_that_hangs_is_told_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(os, "stat", lambda *_, **__: go.wait())  # nothing else hangs on demand
    try:
        with pytest.raises(UnavailableError) as refused:
            await Folder(root, entries=1, answer_s=0.05).look("a.mp4")
    finally:
        go.set()
    assert refused.value.limit == "library_answer_s"


async def test_a_folder_of_too_many_entries_is_refused(root: Path) -> None:
    (root / "b.mp4").touch()
    with pytest.raises(LimitExceededError) as refused:
        await Folder(root, entries=1).page("", "", 10)
    assert refused.value.limit == "library_folder_entries"
