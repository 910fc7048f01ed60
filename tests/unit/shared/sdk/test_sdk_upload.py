"""Uploads in detail: hashing while sending, resuming without repeating, limits, pauses, and what progress tells."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import viseme
from shared.digest import CHUNK_BYTES, chunk_digest
from shared.pb.viseme.gateway.v1 import asset_pb2
from shared.rpc.channel import send
from shared.sdk import source as source_module
from shared.sdk import upload as upload_module
from shared.sdk.pace import Meter, Throttle
from shared.sdk.source import Source, open_source
from shared.sdk.testing import FakeEdge

PATIENCE = viseme.Patience(connect_s=0.5, silence_s=5, first_delay_s=0.01, longest_delay_s=0.05)
COUNT = 7


@pytest.fixture
async def fake() -> AsyncIterator[FakeEdge]:
    async with FakeEdge() as made:
        yield made


@pytest.fixture
async def edge(fake: FakeEdge) -> AsyncIterator[viseme.Edge]:
    async with viseme.connect(fake.address, patience=PATIENCE) as made:
        yield made


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"".join(bytes([index]) * CHUNK_BYTES for index in range(COUNT - 1)) + b"tail")
    return path


@pytest.fixture
def slow_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing that is still at work when the first message goes."""
    gone = threading.Event()
    hashed = 0
    plain_send = send

    def gated(data: bytes) -> bytes:
        nonlocal hashed
        hashed += 1
        if hashed == COUNT:
            gone.wait(10)
        return chunk_digest(data)

    async def telling(call: Any, message: Any) -> bool:
        gone.set()
        return await plain_send(call, message)

    monkeypatch.setattr(source_module, "chunk_digest", gated)
    monkeypatch.setattr(upload_module, "send", telling)
    monkeypatch.setattr(upload_module, "HASH_AHEAD_S", 0.0)


@pytest.mark.usefixtures("slow_hash")
async def test_a_file_is_sent_while_it_is_hashed(fake: FakeEdge, edge: viseme.Edge, video: Path) -> None:
    asset = await edge.upload(video)
    assert fake.first_messages == ["open"]
    assert fake.stored[asset.id].data == video.read_bytes()
    assert list(fake.stored) == [asset.id]


async def test_data_is_at_the_edge_before_the_last_chunk_is_hashed(
    edge: viseme.Edge, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    hashed = 0

    def gated(data: Any) -> bytes:
        nonlocal hashed
        hashed += 1
        if hashed == COUNT:
            asyncio.run_coroutine_threadsafe(asyncio.wait_for(arrived.wait(), 10), loop).result()
        return chunk_digest(data)

    def told(transfer: viseme.Transfer) -> None:
        if transfer.done_bytes >= 2 * CHUNK_BYTES:
            arrived.set()

    monkeypatch.setattr(upload_module, "HASH_AHEAD_S", 0.0)
    monkeypatch.setattr(source_module, "chunk_digest", gated)
    asset = await edge.upload(video, on_progress=told)
    assert asset.state is viseme.AssetState.READY
    assert arrived.is_set()


async def test_a_file_that_is_hashed_at_once_sends_its_whole_manifest(
    fake: FakeEdge, edge: viseme.Edge, video: Path
) -> None:
    await edge.upload(video)
    assert fake.first_messages == ["whole"]


@pytest.mark.usefixtures("slow_hash")
async def test_a_cut_while_hashing_costs_at_most_what_was_on_its_way(
    fake: FakeEdge, edge: viseme.Edge, video: Path
) -> None:
    fake.faults.upload_after_bytes = [2 * CHUNK_BYTES + 5, 3 * CHUNK_BYTES]
    asset = await edge.upload(video)
    assert fake.first_messages[0] == "open"
    assert fake.stored[asset.id].data == video.read_bytes()
    # No chunk that was stored came twice: a cut costs the pieces of the one chunk that it came into.
    assert fake.received_bytes <= video.stat().st_size + 2 * CHUNK_BYTES


@pytest.mark.usefixtures("slow_hash")
async def test_a_file_with_the_ends_of_another_is_sent_by_its_whole_manifest(
    fake: FakeEdge, edge: viseme.Edge, video: Path, tmp_path: Path
) -> None:
    fake.faults.upload_after_bytes = [4 * CHUNK_BYTES]
    other = tmp_path / "other.mp4"
    data = video.read_bytes()
    other.write_bytes(data[:CHUNK_BYTES] + bytes(2 * CHUNK_BYTES) + data[3 * CHUNK_BYTES :])
    hasty = viseme.Patience(connect_s=0.0, silence_s=0.0)
    async with viseme.connect(fake.address, patience=hasty) as brief:
        with pytest.raises(viseme.EdgeUnavailableError):
            await brief.upload(other)
    asset = await edge.upload(video)
    assert fake.stored[asset.id].data == data


async def test_an_edge_that_knows_only_whole_manifests_gets_one(video: Path, slow_hash: None) -> None:
    del slow_hash

    class Old(FakeEdge):
        async def Upload(self, request_iterator: Any, context: Any) -> AsyncIterator[asset_pb2.UploadResponse]:
            first = await anext(aiter(request_iterator))
            if not first.manifest.chunk_digests:
                raise viseme.InvalidInputError("0 digests are too few", field="manifest.chunk_digests")

            async def all_of_them() -> AsyncIterator[Any]:
                yield first
                async for request in request_iterator:
                    yield request

            async for answer in super().Upload(all_of_them(), context):
                yield answer

    async with Old() as old, viseme.connect(old.address, patience=PATIENCE) as edge:
        asset = await edge.upload(video)
        assert old.stored[asset.id].data == video.read_bytes()


async def test_a_file_that_grows_while_it_is_hashed_is_an_error(video: Path) -> None:
    source = await open_source(video, field="video")
    with video.open("ab") as file:
        file.write(b"more")
    with video.open("r+b") as file:
        file.truncate(3 * CHUNK_BYTES)
    async with source:
        with pytest.raises(viseme.InvalidInputError, match="changed while it was uploaded"):
            await source.hashed()


async def test_a_chunk_that_changes_after_it_was_hashed_is_an_error(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = 0

    def changing(data: bytes) -> bytes:
        nonlocal hashed
        hashed += 1
        if hashed == COUNT:
            with video.open("r+b") as file:
                file.write(b"other")
        return chunk_digest(data)

    source = await open_source(video, field="video")
    monkeypatch.setattr(source_module, "chunk_digest", changing)
    async with source:
        with pytest.raises(viseme.InvalidInputError, match="changed while it was uploaded"):
            await source.finished()


async def test_damage_that_only_the_edge_sees_is_laid_to_the_file(
    edge: viseme.Edge, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that keeps size and time is found by the edge, and told in the file's words."""

    def blind(self: Source, index: int) -> bytes:
        with self.path.open("r+b") as file:
            file.seek(4 * CHUNK_BYTES)
            file.write(b"other")
            file.seek(index * CHUNK_BYTES)
            return file.read(CHUNK_BYTES)

    monkeypatch.setattr(Source, "_read", blind)
    with pytest.raises(viseme.InvalidInputError, match="changed while it was uploaded") as caught:
        await edge.upload(video, field="video")
    assert caught.value.field == "video"


async def test_a_touched_file_is_no_changed_file(edge: viseme.Edge, video: Path, fake: FakeEdge) -> None:
    fake.faults.upload_after_bytes = [CHUNK_BYTES]
    asset = await edge.upload(video, on_progress=lambda _: video.touch())
    assert asset.state is viseme.AssetState.READY


async def test_a_rate_limit_is_kept_and_shared(fake: FakeEdge, tmp_path: Path) -> None:
    files = [tmp_path / "a.mp4", tmp_path / "b.wav"]
    for number, path in enumerate(files):
        path.write_bytes(bytes([number + 1]) * 2 * CHUNK_BYTES)
    at_first_end: dict[str, int] = {}

    def told(transfer: viseme.Transfer) -> None:
        if transfer.left_s == 0 and not at_first_end:
            at_first_end.update(fake.received_of)

    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with viseme.connect(fake.address, patience=PATIENCE) as edge:
        await (await edge.dub(*files, rate_limit=8 * CHUNK_BYTES, on_progress=told)).uploaded()
    assert loop.time() - begun >= 0.4  # 0.5 less what may be made up for
    # One after the other, the second would not have begun.
    assert min(at_first_end.get(path.name, 0) for path in files) >= CHUNK_BYTES // 2


async def test_a_throttle_lets_each_have_its_turn() -> None:
    throttle = Throttle(1 << 20)
    order: list[str] = []

    async def send(name: str) -> None:
        for _ in range(8):
            await throttle.take(64 << 10)
            order.append(name)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send("a"))
        tasks.create_task(send("b"))
    assert {"a", "b"} == set(order[:4]) | set(order[-4:])
    assert "a" in order[-4:]


@pytest.mark.parametrize(("rate", "piece"), [(0, 256 << 10), (10 << 20, 256 << 10), (100_000, 25_000), (1, 4 << 10)])
def test_pieces_are_small_on_slow_rates(rate: float, piece: int) -> None:
    assert Throttle(rate).piece(256 << 10) == piece


async def test_a_rate_below_nothing_is_refused(edge: viseme.Edge, video: Path) -> None:
    with pytest.raises(viseme.InvalidInputError) as caught:
        await edge.upload(video, rate_limit=-1)
    assert caught.value.field == "rate_limit"


class WatchedPause(viseme.Pause):
    """Tells when an upload is held up by it, and for how long at most."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: asyncio.Queue[float | None] = asyncio.Queue()

    async def cleared(self, within_s: float | None = None) -> bool:
        if self.is_set():
            self.limits.put_nowait(within_s)
        return await super().cleared(within_s)


@pytest.mark.parametrize("hold_s", [30.0, 0.01], ids=["short", "long"])
async def test_a_paused_upload_sends_nothing_and_goes_on(
    fake: FakeEdge, edge: viseme.Edge, video: Path, monkeypatch: pytest.MonkeyPatch, hold_s: float
) -> None:
    pause = WatchedPause()
    pauses: list[None] = []
    sent_while_paused = 0

    async def watched(call: Any, message: Any) -> bool:
        nonlocal sent_while_paused
        sent_while_paused += pause.is_set()
        if message.piece.chunk_index == 2 and not pauses:
            pauses.append(pause.set())
        return await send(call, message)

    monkeypatch.setattr(upload_module, "send", watched)
    monkeypatch.setattr(upload_module, "PAUSE_HOLD_S", hold_s)
    upload = asyncio.create_task(edge.upload(video, pause=pause))
    assert await pause.limits.get() == hold_s
    if hold_s < 1:
        assert await pause.limits.get() is None  # the stream was given up
    assert sent_while_paused == 0
    pause.clear()
    asset = await upload
    assert sent_while_paused == 0
    assert fake.stored[asset.id].data == video.read_bytes()
    assert len(fake.first_messages) == (1 if hold_s > 1 else 2)
    assert fake.received_bytes <= video.stat().st_size + CHUNK_BYTES


async def test_progress_tells_rate_and_time_left(edge: viseme.Edge, video: Path) -> None:
    told: list[viseme.Transfer] = []
    await edge.upload(video, on_progress=told.append, rate_limit=20 * CHUNK_BYTES)
    middle = next(t for t in told if 3 * CHUNK_BYTES <= t.done_bytes < t.size_bytes)
    assert middle.bytes_per_s > 0
    assert middle.left_s == pytest.approx((middle.size_bytes - middle.done_bytes) / middle.bytes_per_s)
    assert told[-1].left_s == 0


def test_a_meter_forgets_what_is_long_past() -> None:
    now = [0.0]
    meter = Meter(lambda: now[0])
    assert meter.rate == 0
    for second in range(1, 40):
        now[0] = float(second)
        meter.note(second * 100 if second < 20 else 2000 + second)
    assert meter.rate == pytest.approx(1)
