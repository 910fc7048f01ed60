"""ZIPs that are written while they are sent."""

import asyncio
import io
import shutil
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest

from edge_gateway.zipping import ZipEntry, zip_size, zipped

BLOCK = bytes(64 << 20)


def entry(name: str, data: bytes, size: int | None = None) -> ZipEntry:
    """A file of some bytes, or of so many zeros."""

    async def read() -> AsyncGenerator[bytes, None]:
        if size is None:
            for at in range(0, len(data), 1000):
                yield data[at : at + 1000]
            return
        for at in range(0, size, len(BLOCK)):
            yield BLOCK[: size - at]

    return ZipEntry(name=name, size_bytes=len(data) if size is None else size, time_us=1_700_000_000_000_000, read=read)


async def whole(*entries: ZipEntry) -> bytes:
    return b"".join([piece async for piece in zipped(entries)])


async def test_a_zip_has_the_files_and_the_size_that_was_told(tmp_path: Path) -> None:
    files = {"a.mp4": b"x" * 4321, "好 ö.mp4": b"", "c (2).mp4": b"c"}
    entries = [entry(name, data) for name, data in files.items()]
    data = await whole(*entries)
    assert len(data) == zip_size(entries)
    with ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files
        for info in archive.infolist():
            assert (info.compress_type, info.date_time[:3]) == (ZIP_STORED, (2023, 11, 14))
    if shutil.which("unzip"):
        (tmp_path / "it.zip").write_bytes(data)
        command = ["unzip", "-tq", str(tmp_path / "it.zip")]
        await asyncio.to_thread(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)


async def test_nothing_is_an_empty_zip() -> None:
    assert len(await whole()) == zip_size([]) == 22


@pytest.mark.parametrize(
    "sizes",
    [[(1 << 30) - 1, 1], [1 << 30, 1], [(1 << 31) + 5, 1], [(1 << 30) - 1, (1 << 30) + 7, 3, 4]],
    ids=["short form", "long form", "beyond 2 GiB", "offsets beyond 2 GiB"],
)
async def test_the_size_is_right_however_large_the_files_are(sizes: list[int]) -> None:
    entries = [entry(f"{place}.mp4", b"", size) for place, size in enumerate(sizes)]
    length, end = 0, b""
    async for piece in zipped(entries):
        length += len(piece)
        end = (end + piece)[-4096:] if len(piece) < 4096 else piece[-4096:]
    assert length == zip_size(entries)
    # What a reader looks for first says where the directory is, which must be where the sizes put it.
    assert b"PK\x05\x06" in end


async def test_many_files_need_the_long_form_of_the_end() -> None:
    entries = [entry(str(place), b"") for place in range(65_536)]
    data = await whole(*entries)
    assert len(data) == zip_size(entries)
    with ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == 65_536


async def test_whoever_goes_in_the_middle_leaves_nothing_open() -> None:
    pieces = zipped([entry("a", b"x" * 9000), entry("b", b"y" * 9000)])
    assert (await anext(pieces)).endswith(b"x" * 1000)
    await pieces.aclose()
