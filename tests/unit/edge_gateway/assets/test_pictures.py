"""Pictures of assets: made once, kept within a limit, gone with their asset."""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_gateway.assets.asset import Asset, AssetKind
from edge_gateway.assets.pictures import Pictures
from shared.errors import InvalidMediaError, MissingChunksError, NotFoundError
from shared.media.probe import MediaInfo, MediaKind


@dataclass(slots=True)
class FakeAssets:
    """Any asset of one letter, as it is told."""

    kind: AssetKind = AssetKind.VIDEO
    ready: bool = True
    seconds: float = 60.0

    async def get(self, asset_id: str) -> Asset:
        if asset_id == "none":
            raise NotFoundError("this edge has no such asset", field="asset_id")
        media = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=self.seconds)
        return Asset(
            number=1,
            asset_id=asset_id,
            size_bytes=1,
            display_name="a",
            created_us=1,
            ready=self.ready,
            kind=self.kind,
            media=media,
        )

    def path(self, asset_id: str) -> Path:
        return Path(f"/assets/{asset_id}")


@dataclass(slots=True)
class FakeTaker:
    """Pictures of ten bytes."""

    taken: list[tuple[str, int | None]] = field(default_factory=list)
    may: asyncio.Event = field(default_factory=asyncio.Event)
    at_work: int = 0
    most: int = 0
    error: Exception | None = None

    async def __call__(self, path: Path, at_us: int | None, field: str) -> bytes:
        self.taken.append((path.name, at_us))
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        await self.may.wait()
        self.at_work -= 1
        if self.error is not None:
            raise self.error
        return path.name.ljust(10).encode()


class World:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.assets = FakeAssets()
        self.taker = FakeTaker()
        self.taker.may.set()
        self.pictures = self.open()

    def open(self) -> Pictures:
        fake: Any = self.assets
        return Pictures(self.root, fake, self.taker, limit_bytes=30, at_once=2)

    @property
    def kept(self) -> set[str]:
        return {path.stem for path in self.root.iterdir()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_picture_is_made_once_and_is_there_after_a_restart(world: World) -> None:
    for _ in range(2):
        assert await world.pictures.of("a") == b"a         "
    assert await world.open().of("a") == b"a         "
    assert world.taker.taken == [("a", 1_000_000)]


async def test_those_who_ask_at_the_same_time_wait_for_one(world: World) -> None:
    world.taker.may.clear()
    asking = [asyncio.create_task(world.pictures.of(name)) for name in "aaabbc"]
    while world.taker.at_work < 2:  # noqa: ASYNC110 - the fake counts
        await asyncio.sleep(0)
    world.taker.may.set()
    await asyncio.gather(*asking)
    assert sorted(name for name, _ in world.taker.taken) == ["a", "b", "c"]
    assert world.taker.most == 2


async def test_those_that_nobody_looked_at_for_longest_go(world: World) -> None:
    for name in "abc":
        await world.pictures.of(name)
    await world.pictures.of("a")
    await world.pictures.of("d")
    assert world.kept == {"a", "c", "d"}
    for place, name in enumerate("dca"):
        os.utime(world.root / f"{name}.jpg", ns=(place, place))
    await world.open().of("e")
    assert world.kept == {"a", "c", "e"}


async def test_a_picture_goes_with_its_asset_and_one_that_is_lost_is_made_again(world: World) -> None:
    await world.pictures.of("a")
    world.pictures.forget("a")
    assert world.kept == set()
    await world.pictures.of("a")
    (world.root / "a.jpg").unlink()
    assert await world.pictures.of("a")
    assert len(world.taker.taken) == 3


async def test_a_short_video_is_looked_at_early(world: World) -> None:
    world.assets.seconds = 3.0
    await world.pictures.of("a")
    assert world.taker.taken == [("a", 300_000)]


async def test_what_has_no_pictures_is_refused(world: World) -> None:
    with pytest.raises(NotFoundError):
        await world.pictures.of("none")
    world.assets.kind = AssetKind.AUDIO
    with pytest.raises(NotFoundError, match="no pictures"):
        await world.pictures.of("a")
    world.assets.ready = False
    with pytest.raises(MissingChunksError):
        await world.pictures.of("a")


async def test_a_picture_that_cannot_be_made_is_tried_again(world: World) -> None:
    world.taker.error = InvalidMediaError("damaged", field="asset_id")
    with pytest.raises(InvalidMediaError):
        await world.pictures.of("a")
    world.taker.error = None
    assert await world.pictures.of("a")
