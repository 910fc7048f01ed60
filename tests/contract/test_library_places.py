"""What every place of a library does: a folder of this machine and a bucket of a real S3 server alike."""

import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_gateway.library.bucket import Bucket, BucketAddress
from edge_gateway.library.folder import Folder
from edge_gateway.library.place import ChangedError, Place
from shared.errors import NotFoundError
from tests.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server


@dataclass(frozen=True, slots=True)
class Shelf:
    """A place, and how to put files there and take them away."""

    place: Place
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]


def folder_shelf(root: Path) -> Shelf:
    def put(path: str, data: bytes) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{path}.tmp").write_bytes(data)
        (root / f"{path}.tmp").replace(root / path)

    return Shelf(Folder(root, entries=1000), put, lambda path: (root / path).unlink())


def bucket_shelf(s3: S3Server) -> Shelf:
    prefix = f"{uuid.uuid4()}/clips of us"
    address = BucketAddress(
        bucket="clips",
        prefix=prefix,
        endpoint=s3.endpoint,
        region=REGION,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
    )
    store = s3.store()
    return Shelf(
        Bucket(address, entries=1000),
        lambda path, data: store.put(f"{prefix}/{path}", data) and None,
        lambda path: store.delete(f"{prefix}/{path}"),
    )


@pytest.fixture(params=["folder", "bucket"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return folder_shelf(tmp_path) if request.param == "folder" else bucket_shelf(request.getfixturevalue("s3"))


async def paths(place: Place, folder: str = "", after: str = "", count: int = 100) -> list[str]:
    return [entry.path for entry in await place.page(folder, after, count)]


async def test_a_file_is_looked_at_and_read(shelf: Shelf) -> None:
    shelf.put("teachers/änna 1%20#2.mp4", b"0123456789")
    entry = await shelf.place.look("teachers/änna 1%20#2.mp4")
    assert entry.size_bytes == 10
    async with shelf.place.open(entry) as file:
        assert await file.read(0, 10) == b"0123456789"
        assert await file.read(3, 4) == b"3456"


async def test_what_is_not_there_is_not_found(shelf: Shelf) -> None:
    shelf.put("a/b.mp4", b"x")
    for absent in ("nothing.mp4", "a", "a/b.mp4/c", "a/c"):
        with pytest.raises(NotFoundError):
            await shelf.place.look(absent)


async def test_another_content_has_another_stamp_and_the_same_one_the_same(shelf: Shelf) -> None:
    shelf.put("a.mp4", b"first")
    first = await shelf.place.look("a.mp4")
    assert (await shelf.place.look("a.mp4")).stamp == first.stamp
    assert [entry.stamp for entry in await shelf.place.page("", "", 10)] == [first.stamp]
    shelf.put("a.mp4", b"other")
    assert (await shelf.place.look("a.mp4")).stamp != first.stamp


async def test_a_file_that_changed_is_not_read(shelf: Shelf) -> None:
    shelf.put("a.mp4", b"first")
    entry = await shelf.place.look("a.mp4")
    shelf.put("a.mp4", b"other")
    with pytest.raises(ChangedError):
        async with shelf.place.open(entry) as file:
            await file.read(0, 5)


async def test_a_file_that_is_removed_before_it_is_opened_is_not_found_or_changed(shelf: Shelf) -> None:
    shelf.put("a.mp4", b"first")
    entry = await shelf.place.look("a.mp4")
    shelf.remove("a.mp4")
    with pytest.raises((ChangedError, NotFoundError)):
        async with shelf.place.open(entry) as file:
            await file.read(0, 5)


async def test_pages_follow_one_order_and_leave_out_what_is_hidden_or_unfinished(shelf: Shelf) -> None:
    shown = ["a-b.mp4", "a.mp4", "a/b.mp4", "a/c/d.mp4", "b.mp4", "é.mp4"]
    for path in [*shown, ".hidden.mp4", ".a.mp4.Xy12ab", "a/.rsync-tmp/e.mp4", "c.mp4.part", "d.tmp", "a/e~"]:
        shelf.put(path, b"x")
    listed = await paths(shelf.place)
    assert sorted(listed) == shown
    assert await paths(shelf.place, folder="a") == ["a/b.mp4", "a/c/d.mp4"]
    assert await paths(shelf.place, folder="nothing") == []
    walked: list[str] = []
    while page := await paths(shelf.place, after=walked[-1] if walked else "", count=2):
        assert len(page) <= 2
        walked += page
    assert walked == listed


async def test_ten_thousand_files_come_in_pages(tmp_path: Path) -> None:
    place = Folder(tmp_path, entries=10_000)
    wanted = sorted(f"{number % 7}/{number:05}.mp4" for number in range(10_000))
    for number in range(7):
        (tmp_path / str(number)).mkdir()
    source = tmp_path / "0" / ".source"
    source.write_bytes(b"x")
    for path in wanted:
        os.link(source, tmp_path / path)
    walked: list[str] = []
    while page := await paths(place, after=walked[-1] if walked else "", count=500):
        walked += page
    assert walked == wanted
    shutil.rmtree(tmp_path / "3")
    assert await paths(place, folder="3") == []
