import asyncio
import errno
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_gateway.assets.asset import (
    AssetKind,
    AssetLimits,
    Completed,
    Manifest,
    Persisted,
    Piece,
    Started,
    UploadAnswer,
    check_asset_id,
    display_name,
    ranges,
)
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from edge_gateway.disk import disk_errors
from shared.digest import CHUNK_BYTES, chunk_digest, file_digest
from shared.errors import (
    ConflictError,
    DeadlineError,
    DiskFullError,
    InvalidInputError,
    InvalidMediaError,
    LimitExceededError,
    MissingChunksError,
    NotFoundError,
)
from shared.media.probe import MediaInfo, MediaKind

LIMITS = AssetLimits(
    asset_bytes=64 << 20, manifest_chunks=64, piece_bytes=CHUNK_BYTES, buffer_bytes=8 << 20, idle_s=5.0
)
DATA = bytes(range(256)) * (5 * CHUNK_BYTES // 512) + b"tail"
"""Two whole chunks and a part of a third."""


class Prober:
    """Says what a file is, as it was told."""

    def __init__(self) -> None:
        self.error: InvalidInputError | None = None
        self.probed: list[Path] = []

    async def __call__(self, path: Path, field: str) -> MediaInfo:
        self.probed.append(path)
        if self.error is not None:
            raise self.error
        return MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


@pytest.fixture
def prober() -> Prober:
    return Prober()


@pytest.fixture
def assets(store: AssetStore, catalog: Catalog, prober: Prober) -> AssetService:
    return AssetService(store, catalog, prober, LIMITS)


def manifest_of(data: bytes, name: str = "clip.mp4") -> Manifest:
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    return Manifest(size_bytes=len(data), digests=tuple(map(chunk_digest, chunks)), display_name=name)


def pieces_of(data: bytes, chunks: Iterable[int], size: int = 256 << 10) -> Iterator[Piece]:
    for chunk in chunks:
        part = data[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES]
        for at in range(0, len(part), size):
            yield Piece(chunk=chunk, offset=at, data=part[at : at + size])


async def stream(pieces: Iterable[Piece]) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece


async def upload(assets: AssetService, data: bytes, pieces: Iterable[Piece]) -> list[UploadAnswer]:
    return [answer async for answer in assets.upload(manifest_of(data), stream(pieces))]


async def test_an_upload_out_of_order_with_doubles_is_complete_and_exact(
    assets: AssetService, store: AssetStore
) -> None:
    answers = await upload(assets, DATA, pieces_of(DATA, [2, 0, 2, 1]))
    assert isinstance(answers[0], Started)
    assert answers[0].held == ()
    last = answers[-1]
    assert isinstance(last, Completed)
    assert last.asset.ready
    assert last.asset.kind is AssetKind.VIDEO
    assert [answer.persisted_bytes for answer in answers if isinstance(answer, Persisted)][-1] == len(DATA)
    path = store.path(last.asset.asset_id)
    assert path.read_bytes() == DATA
    asset, _ = await assets.download(last.asset.asset_id, 0, 0)
    assert asset.sha256 == file_digest(path) == (await assets.get(asset.asset_id)).sha256


async def test_pieces_of_any_size_make_the_same_file(assets: AssetService, store: AssetStore) -> None:
    sizes = [1, 5, 16 << 10, 3, 100_000, 7, 8, 300_000]
    pieces: list[Piece] = []
    at = 0
    while at < len(DATA):
        chunk, offset = divmod(at, CHUNK_BYTES)
        size = min(sizes[len(pieces) % len(sizes)], CHUNK_BYTES - offset, len(DATA) - at)
        pieces.append(Piece(chunk=chunk, offset=offset, data=DATA[at : at + size]))
        at += size
    answers = await upload(assets, DATA, pieces)
    assert isinstance(answers[-1], Completed)
    assert store.path(answers[-1].asset.asset_id).read_bytes() == DATA


async def test_a_cut_upload_goes_on_with_what_is_missing(assets: AssetService) -> None:
    answers = await upload(assets, DATA, [*pieces_of(DATA, [2, 0]), next(pieces_of(DATA, [1]))])
    assert not isinstance(answers[-1], Completed)
    asset = await assets.get(manifest_of(DATA).asset_id)
    assert not asset.ready
    assert await assets.held(asset) == ranges([0, 2])
    with pytest.raises(MissingChunksError):
        await assets.download(asset.asset_id, 0, 0)
    again = await upload(assets, DATA, pieces_of(DATA, [1]))
    assert isinstance(again[0], Started)
    assert again[0].held == ranges([0, 2])
    assert isinstance(again[-1], Completed)


async def test_an_upload_of_what_is_there_sends_nothing(assets: AssetService, prober: Prober) -> None:
    await upload(assets, DATA, pieces_of(DATA, range(3)))
    answers = await upload(assets, DATA, [])
    assert [type(answer) for answer in answers] == [Started, Completed]
    assert len(prober.probed) == 1


@pytest.mark.parametrize(
    ("piece", "field"),
    [
        (Piece(chunk=3, offset=0, data=b"x"), "piece.chunk_index"),
        (Piece(chunk=0, offset=7, data=b"x"), "piece.offset_bytes"),
        (Piece(chunk=0, offset=0, data=b""), "piece.data"),
        (Piece(chunk=0, offset=0, data=b"x" * (CHUNK_BYTES + 1)), "piece.data"),
        (Piece(chunk=2, offset=0, data=b"x" * CHUNK_BYTES), "piece.data"),
        (Piece(chunk=0, offset=0, data=b"x" * CHUNK_BYTES), "piece.data"),
    ],
    ids=["no such chunk", "hole", "empty", "too large", "beyond the end", "wrong digest"],
)
async def test_a_piece_that_does_not_fit_is_refused_and_does_not_count(
    assets: AssetService, piece: Piece, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await upload(assets, DATA, [piece])
    assert caught.value.field == field
    asset = await assets.get(manifest_of(DATA).asset_id)
    assert await assets.held(asset) == ()


async def test_chunks_may_be_interleaved_up_to_a_limit(assets: AssetService) -> None:
    data = DATA * 3
    halves = [list(pieces_of(data, [chunk], CHUNK_BYTES // 2)) for chunk in range(6)]
    with pytest.raises(LimitExceededError) as caught:
        await upload(assets, data, [half[0] for half in halves])
    assert caught.value.limit == "open_chunks"
    woven = [half[part] for part in (0, 1) for half in halves[:4]]
    answers = await upload(assets, data, [*woven, *pieces_of(data, range(4, 8))])
    assert isinstance(answers[-1], Completed)


@pytest.mark.parametrize(
    ("manifest", "limit"),
    [
        (Manifest(size_bytes=0, digests=(), display_name="x"), ""),
        (Manifest(size_bytes=65 << 20, digests=(b"d" * 32,) * 65, display_name="x"), "asset_bytes"),
        (Manifest(size_bytes=1, digests=(b"d" * 32,) * 65, display_name="x"), "manifest_chunks"),
        (Manifest(size_bytes=1, digests=(b"d" * 32,) * 2, display_name="x"), ""),
        (Manifest(size_bytes=1, digests=(b"d",), display_name="x"), ""),
        (Manifest(size_bytes=1, digests=(b"d" * 32,), display_name="x", chunk_bytes=77), ""),
    ],
    ids=["empty", "too large", "too many", "count", "digest", "chunk size"],
)
async def test_a_manifest_that_is_wrong_leaves_nothing(assets: AssetService, manifest: Manifest, limit: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await anext(assets.upload(manifest, stream([])))
    assert caught.value.limit == limit
    assert await assets.page(0, "", None) == ([], "")


async def test_what_is_no_media_is_dropped_and_the_error_names_the_field(
    assets: AssetService, store: AssetStore, prober: Prober
) -> None:
    prober.error = InvalidMediaError("not a video", field="asset")
    with pytest.raises(InvalidMediaError) as caught:
        await upload(assets, DATA, pieces_of(DATA, range(3)))
    assert caught.value.field == "asset"
    asset_id = manifest_of(DATA).asset_id
    with pytest.raises(NotFoundError):
        await assets.get(asset_id)
    assert not store.path(asset_id).exists()


async def test_a_newer_writer_evicts_the_older(assets: AssetService) -> None:
    gate = asyncio.Event()

    async def stuck() -> AsyncIterator[Piece]:
        for piece in pieces_of(DATA, [0]):
            yield piece
        await gate.wait()

    older = assets.upload(manifest_of(DATA), stuck())
    assert isinstance(await anext(older), Started)
    assert isinstance(await anext(older), Persisted)
    newer = await upload(assets, DATA, pieces_of(DATA, [1, 2]))
    assert isinstance(newer[0], Started)
    assert newer[0].held == ranges([0])
    assert isinstance(newer[-1], Completed)
    with pytest.raises(ConflictError, match="took this upload over"):
        await anext(older)


async def test_a_client_that_says_nothing_is_sent_away(store: AssetStore, catalog: Catalog, prober: Prober) -> None:
    limits = AssetLimits(
        asset_bytes=64 << 20, manifest_chunks=64, piece_bytes=CHUNK_BYTES, buffer_bytes=8 << 20, idle_s=0.05
    )
    assets = AssetService(store, catalog, prober, limits)

    async def silent() -> AsyncIterator[Piece]:
        await asyncio.Event().wait()
        yield Piece(chunk=0, offset=0, data=b"x")

    with pytest.raises(DeadlineError) as caught:
        async for _ in assets.upload(manifest_of(DATA), silent()):
            pass
    assert caught.value.limit == "upload_idle_s"


async def test_several_uploads_at_once(assets: AssetService, store: AssetStore) -> None:
    files = [bytes([number]) * (2 * CHUNK_BYTES + number) for number in range(6)]
    done = await asyncio.gather(*(upload(assets, data, pieces_of(data, range(3))) for data in files))
    for data, answers in zip(files, done, strict=True):
        assert isinstance(answers[-1], Completed)
        assert store.path(manifest_of(data).asset_id).read_bytes() == data


async def test_a_lost_file_is_noticed_and_sent_again(assets: AssetService, store: AssetStore) -> None:
    await upload(assets, DATA, pieces_of(DATA, [0]))
    store.path(manifest_of(DATA).asset_id).unlink()
    answers = await upload(assets, DATA, pieces_of(DATA, range(3)))
    assert isinstance(answers[0], Started)
    assert answers[0].held == ()
    assert isinstance(answers[-1], Completed)


async def test_a_disk_without_room_is_said_before_bytes_are_taken(
    tmp_path: Path, catalog: Catalog, prober: Prober
) -> None:
    full = AssetStore(tmp_path / "assets", catalog, reserve_bytes=1 << 60)
    with pytest.raises(DiskFullError) as caught:
        await upload(AssetService(full, catalog, prober, LIMITS), DATA, pieces_of(DATA, range(3)))
    assert caught.value.limit == "disk"


async def test_on_a_disk_that_is_nearly_full_only_what_was_begun_goes_on(
    tmp_path: Path, catalog: Catalog, prober: Prober
) -> None:
    is_full: list[bool] = []

    def check() -> None:
        if is_full:
            raise DiskFullError("below the mark", limit="disk_watermark", retry_after_s=60)

    assets = AssetService(AssetStore(tmp_path / "assets", catalog, check_new=check), catalog, prober, LIMITS)
    await upload(assets, DATA, pieces_of(DATA, [0]))
    is_full.append(True)
    for data in (DATA + b"another", b"short"):
        with pytest.raises(DiskFullError, match="below the mark"):
            await upload(assets, data, pieces_of(data, range(1)))
    assert isinstance((await upload(assets, DATA, pieces_of(DATA, [1, 2])))[-1], Completed)
    assert isinstance((await upload(assets, DATA, []))[-1], Completed), "what is there needs no room"


FILLING = """
import asyncio, resource, sys
from pathlib import Path
from edge_gateway.assets.asset import Manifest
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.store import AssetStore
from edge_gateway.database import Database
from shared.digest import CHUNK_BYTES, chunk_digest
from shared.errors import DiskFullError

async def main(root):
    chunk = b"x" * CHUNK_BYTES
    manifest = Manifest(size_bytes=2 * CHUNK_BYTES, digests=(chunk_digest(chunk),) * 2, display_name="x")
    async with Database.open(root / "edge.db") as database:
        store = AssetStore(root / "assets", Catalog(database))
        await store.begin(manifest, 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK_BYTES + 4096, CHUNK_BYTES + 4096))
        await store.put(manifest, {0: chunk})
        try:
            await store.put(manifest, {1: chunk})
        except DiskFullError as error:
            print("full", error.limit, await Catalog(database).held(manifest.asset_id))

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_disk_that_fills_in_the_middle_corrupts_nothing(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    root = Path(__file__).resolve().parents[4]
    done = subprocess.run(
        [sys.executable, "-c", FILLING, str(tmp_path)], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == "full disk {0}"


async def test_an_upload_goes_on_after_the_disk_was_full(tmp_path: Path, catalog: Catalog, prober: Prober) -> None:
    class Filling(AssetStore):
        room = 2

        async def write(self, asset_id: str, digests: Sequence[bytes], chunks: Mapping[int, Any]) -> None:
            if len(chunks) > self.room:
                raise DiskFullError("no room", limit="disk")
            self.room -= len(chunks)
            await super().write(asset_id, digests, chunks)

    store = Filling(tmp_path / "assets", catalog)
    assets = AssetService(store, catalog, prober, LIMITS)
    with pytest.raises(DiskFullError):
        await upload(assets, DATA, pieces_of(DATA, range(3)))
    store.room = 3
    held = await assets.held(await assets.get(manifest_of(DATA).asset_id))
    answers = await upload(assets, DATA, pieces_of(DATA, range(3)))
    assert answers[0] == Started(asset_id=manifest_of(DATA).asset_id, held=held)
    assert isinstance(answers[-1], Completed)
    assert store.path(answers[-1].asset.asset_id).read_bytes() == DATA


class Slow(AssetStore):
    """A store that writes nothing until it may."""

    def __init__(self, root: Path, catalog: Catalog) -> None:
        super().__init__(root, catalog)
        self.writes = asyncio.Event()
        self.may_write = asyncio.Event()

    async def write(self, asset_id: str, digests: Sequence[bytes], chunks: Mapping[int, Any]) -> None:
        self.writes.set()
        await self.may_write.wait()
        await super().write(asset_id, digests, chunks)


async def cut_upload(assets: AssetService, all_came: asyncio.Event) -> None:
    """Send whole chunks 0 and 1 and a part of 2, then wait for a cut."""

    async def messages() -> AsyncIterator[Piece]:
        for piece in pieces_of(DATA, [0, 1]):
            yield piece
        yield Piece(chunk=2, offset=0, data=DATA[2 * CHUNK_BYTES : 2 * CHUNK_BYTES + 9])
        all_came.set()
        await asyncio.Event().wait()

    async for _ in assets.upload(manifest_of(DATA), messages()):
        pass


async def test_what_had_come_is_kept_when_the_stream_breaks_before_it_was_written(
    tmp_path: Path, catalog: Catalog, prober: Prober
) -> None:
    store = Slow(tmp_path / "assets", catalog)
    assets = AssetService(store, catalog, prober, LIMITS)
    all_came = asyncio.Event()
    client = asyncio.create_task(cut_upload(assets, all_came))
    await all_came.wait()
    await store.writes.wait()
    client.cancel()
    store.may_write.set()
    await asyncio.wait({client})
    assert client.cancelled()
    assert await catalog.held(manifest_of(DATA).asset_id) == {0, 1}


async def test_a_newer_writer_is_told_what_had_come_by_the_older(
    tmp_path: Path, catalog: Catalog, prober: Prober
) -> None:
    store = Slow(tmp_path / "assets", catalog)
    assets = AssetService(store, catalog, prober, LIMITS)
    all_came = asyncio.Event()
    older = asyncio.create_task(cut_upload(assets, all_came))
    await all_came.wait()
    await store.writes.wait()
    newer = asyncio.create_task(upload(assets, DATA, pieces_of(DATA, [2])))
    store.may_write.set()
    answers = await newer
    assert isinstance(answers[0], Started)
    assert [(run.first, run.count) for run in answers[0].held] == [(0, 2)]
    assert isinstance(answers[-1], Completed)
    with pytest.raises(ConflictError):
        await older


def test_only_the_errors_of_a_full_disk_are_called_so(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError), disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "no room")
    with pytest.raises(PermissionError), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "no")


async def test_a_download_goes_on_from_an_offset_to_the_end_or_for_a_length(assets: AssetService) -> None:
    await upload(assets, DATA, pieces_of(DATA, range(3)))
    asset_id = manifest_of(DATA).asset_id
    for offset, length in ((0, 0), (CHUNK_BYTES + 7, 0), (5, 300_000), (len(DATA), 0)):
        asset, pieces = await assets.download(asset_id, offset, length)
        got = [piece async for piece in pieces]
        expected = DATA[offset : offset + length] if length else DATA[offset:]
        assert b"".join(data for _, data in got) == expected
        assert asset.size_bytes == len(DATA)
    with pytest.raises(InvalidInputError) as caught:
        await assets.download(asset_id, len(DATA) + 1, 0)
    assert caught.value.field == "offset_bytes"


async def test_pages_run_from_the_newest_to_the_end(assets: AssetService) -> None:
    for number in range(5):
        data = bytes([number])
        await upload(assets, data, pieces_of(data, [0]))
    names, token, pages = [], "", 0
    while pages == 0 or token:
        found, token = await assets.page(2, token, AssetKind.VIDEO)
        names += [asset.asset_id for asset in found]
        pages += 1
    assert pages == 3
    assert names == [manifest_of(bytes([number])).asset_id for number in (4, 3, 2, 1, 0)]
    assert (await assets.page(2, "", AssetKind.AUDIO)) == ([], "")
    for wrong in ("x", "!!", "cGFnZTE6LTE", "A" * 100):
        with pytest.raises(InvalidInputError) as caught:
            await assets.page(2, wrong, None)
        assert caught.value.field == "page_token"
    with pytest.raises(LimitExceededError):
        await assets.page(501, "", None)


async def test_deleting_tells_those_who_keep_something_of_it(
    store: AssetStore, catalog: Catalog, prober: Prober
) -> None:
    gone: list[str] = []
    assets = AssetService(store, catalog, prober, LIMITS, on_remove=gone.append)
    await upload(assets, DATA, pieces_of(DATA, range(3)))
    asset_id = manifest_of(DATA).asset_id
    await assets.delete(asset_id)
    assert gone == [asset_id]
    assert not store.path(asset_id).parent.exists()
    with pytest.raises(NotFoundError):
        await assets.delete(asset_id)


@pytest.mark.parametrize("wrong", ["", "../" * 10, "A" * 64, "0" * 63, "0" * 65])
def test_an_asset_id_that_is_none_never_reaches_a_path(wrong: str) -> None:
    with pytest.raises(InvalidInputError):
        check_asset_id(wrong)


def test_names_are_made_safe_to_show() -> None:
    assert display_name("/etc/../my clip.mp4") == "my clip.mp4"
    assert display_name("C:\\videos\\clip\x00\n.mp4") == "clip  .mp4"
    assert len(display_name("x" * 999)) == 200


def test_ranges_are_runs_in_order() -> None:
    assert [(run.first, run.count) for run in ranges([7, 1, 2, 3, 9, 8])] == [(1, 3), (7, 3)]
    assert ranges([]) == ()
