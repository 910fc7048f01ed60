"""The edge's tus uploads behind a real web server, with a prober that is told what to say."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import pytest
from starlette.applications import Starlette

from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.store import AssetStore
from edge_gateway.assets.stream import StreamLimits
from edge_gateway.assets.stream_catalog import StreamCatalog
from edge_gateway.assets.stream_upload import StreamUploads
from edge_gateway.database import Database
from edge_gateway.web.server import serve_web
from edge_gateway.web.tus import TusFiles
from shared.errors import InvalidInputError
from shared.media.probe import MediaInfo, MediaKind
from shared.rpc.address import Address

LIMITS = StreamLimits(
    asset_bytes=16 << 20,
    manifest_chunks=64,
    open_uploads=4,
    metadata_bytes=512,
    parts=4,
    idle_s=5.0,
    expire_s=3600.0,
    progress_bytes=1,
)


@dataclass(slots=True)
class FakeProber:
    """Says what a file is, as it was told."""

    error: InvalidInputError | None = None
    probed: list[Path] = field(default_factory=list)

    async def __call__(self, path: Path, field: str) -> MediaInfo:
        self.probed.append(path)
        if self.error is not None:
            raise self.error
        return MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


@dataclass(slots=True, kw_only=True)
class Site:
    """A web server with uploads, and a client of it."""

    uploads: StreamUploads
    store: AssetStore
    catalog: Catalog
    prober: FakeProber
    address: Address
    http: aiohttp.ClientSession
    root: Path
    now_us: list[int]
    """The clock that counts."""
    wall_us: list[int]
    """The time of day."""

    @property
    def files(self) -> str:
        return f"http://{self.address}/files/"

    async def call(
        self, method: str, where: str = "", data: bytes | None = None, **headers: str | int
    ) -> tuple[int, dict[str, str], dict[str, str]]:
        """Send a tus request; gives the status, the headers and what a refusal says."""
        sent = {"Tus-Resumable": "1.0.0"} | {
            name.replace("_", "-"): str(value) for name, value in headers.items() if value != ""
        }
        if method == "PATCH" or data is not None:
            sent.setdefault("Content-Type", "application/offset+octet-stream")
        for name in [name for name, value in headers.items() if value == ""]:
            sent.pop(name.replace("_", "-"), None)
        address = self.files + where.removeprefix("/files/")
        skipped = ["Content-Type"]
        body = io.BytesIO(data) if isinstance(data, bytes) else data  # aiohttp warns of large bytes
        async with self.http.request(method, address, data=body, headers=sent, skip_auto_headers=skipped) as answer:
            told = await answer.json() if answer.content_type == "application/json" else {}
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, told.get("error", {})

    async def create(self, size: int, **headers: str) -> str:
        status, told, error = await self.call("POST", Upload_Length=size, **headers)
        assert status == 201, error
        return told["location"]

    async def offset(self, where: str) -> int:
        status, told, _ = await self.call("HEAD", where)
        assert status == 200
        return int(told["upload-offset"])


MakeSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def make_site(database: Database, tmp_path: Path, catalog: Catalog, store: AssetStore) -> AsyncIterator[MakeSite]:
    async with AsyncExitStack() as stack:

        async def make(*, root: Path | None = None, **changes: float) -> Site:
            folder = root or tmp_path / "uploads"
            folder.mkdir(exist_ok=True)
            prober, now_us, wall_us = FakeProber(), [5_000_000], [1_000_000_000_000_000]
            uploads = StreamUploads(
                folder,
                StreamCatalog(database),
                store,
                catalog,
                probe=prober,
                limits=replace(LIMITS, **changes),
                clock=lambda: now_us[0],
                wall=lambda: wall_us[0],
            )
            app = Starlette(routes=TusFiles(uploads).routes())
            here = Address(host="127.0.0.1", port=0)
            address = await stack.enter_async_context(serve_web(app, here, grace_s=0.5))
            http = await stack.enter_async_context(aiohttp.ClientSession())
            return Site(
                uploads=uploads,
                store=store,
                catalog=catalog,
                prober=prober,
                address=address,
                http=http,
                root=folder,
                now_us=now_us,
                wall_us=wall_us,
            )

        yield make


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    return await make_site()
