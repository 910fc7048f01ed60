import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from inference_node.render.cache import BlobCache, BlobLostError
from shared.errors import ResourceExhaustedError


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def put(cache: BlobCache, data: bytes) -> bytes:
    await cache.put(digest(data), data)
    return digest(data)


async def test_what_was_put_is_read_back(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=100)
    name = await put(cache, b"speech")
    assert await cache.get(name) == b"speech"
    assert cache.used_bytes == 6


async def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=30)
    first, second = await put(cache, b"1" * 10), await put(cache, b"2" * 10)
    await put(cache, b"3" * 10)
    await cache.get(first)
    await put(cache, b"4" * 10)
    assert first in cache
    assert second not in cache
    with pytest.raises(BlobLostError):
        await cache.get(second)
    assert cache.used_bytes == 30
    assert len([path for path in tmp_path.glob("*/*") if path.is_file()]) == 3


async def test_what_is_pinned_stays(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=20)
    first = await put(cache, b"1" * 10)
    with cache.pinned([first]), cache.pinned([first]):
        await put(cache, b"2" * 10)
        await put(cache, b"3" * 10)
        assert first in cache
        with pytest.raises(ResourceExhaustedError) as refused:
            await put(cache, b"4" * 11)
    assert refused.value.limit == "cache_bytes"
    await put(cache, b"4" * 11)
    assert first not in cache


async def test_damage_on_disk_is_noticed_and_forgotten(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=100)
    name = await put(cache, b"speech")
    (tmp_path / name.hex()[:2] / name.hex()).write_bytes(b"spEEch")
    with pytest.raises(BlobLostError):
        await cache.get(name)
    assert name not in cache
    assert cache.used_bytes == 0
    await put(cache, b"speech")
    assert await cache.get(name) == b"speech"


async def test_a_file_deleted_by_somebody_is_asked_for_again(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=100)
    name = await put(cache, b"speech")
    (tmp_path / name.hex()[:2] / name.hex()).unlink()
    with pytest.raises(BlobLostError):
        await cache.get(name)


async def test_a_restart_takes_up_what_is_there_in_its_order(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=100)
    names = [await put(cache, bytes([number]) * 10) for number in range(4)]
    for age, name in enumerate((names[1], names[0], names[3], names[2])):
        os.utime(tmp_path / name.hex()[:2] / name.hex(), (age, age))
    (tmp_path / "aa").mkdir(exist_ok=True)
    (tmp_path / "aa" / "torn.part").write_bytes(b"half")

    again = BlobCache(tmp_path, limit_bytes=20)

    assert [name in again for name in names] == [False, False, True, True]
    assert again.used_bytes == 20
    assert not (tmp_path / "aa" / "torn.part").exists()
    assert await again.get(names[2]) == bytes([2]) * 10


async def test_who_brings_something_waits_for_what_is_soon_over_and_for_nothing_else(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=20)
    first, second = bytes(12), b"x" * 12
    await cache.put(digest(first), first)
    with cache.pinned([digest(first)]), pytest.raises(ResourceExhaustedError):
        await cache.put(digest(second), second)
    with cache.pinned([digest(first)], soon_over=True):
        putting = asyncio.create_task(cache.put(digest(second), second))
        await asyncio.sleep(0)
        assert digest(second) not in cache
        assert digest(first) in cache
    await putting
    assert await cache.get(digest(second)) == second
    assert digest(first) not in cache


async def test_what_was_not_used_for_long_enough_goes_and_a_restart_forgets_no_time(tmp_path: Path) -> None:
    now = 1e9
    cache = BlobCache(tmp_path, limit_bytes=100, keep_s=60, clock=lambda: now)
    old, used, pinned = await put(cache, b"old"), await put(cache, b"used"), await put(cache, b"pinned")
    for path in tmp_path.glob("*/*"):
        os.utime(path, (now, now))
    now += 59
    assert await cache.sweep() == 0
    await cache.get(used)
    os.utime(cache._path(used), (now, now))
    now += 1
    cache = BlobCache(tmp_path, limit_bytes=100, keep_s=60, clock=lambda: now)
    with cache.pinned([pinned]):
        assert await cache.sweep() == 1
    assert [one in cache for one in (old, used, pinned)] == [False, True, True]
    assert cache.used_bytes == len(b"usedpinned")
    assert len([path for path in tmp_path.glob("*/*") if path.is_file()]) == 2


async def test_what_is_dropped_is_gone_from_the_disk_but_not_while_it_is_rendered(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, limit_bytes=100)
    name = await put(cache, b"crop")
    with cache.pinned([name]):
        assert await cache.drop([name, digest(b"never here")]) == 0
    assert await cache.drop([name]) == 1
    assert not any(path.is_file() for path in tmp_path.glob("*/*"))
