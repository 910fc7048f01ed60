"""A server of sessions with jobs that nobody does: what happens to them is what a test or a benchmark says."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_gateway.assets.asset import AssetKind, Manifest
from edge_gateway.assets.catalog import Catalog
from edge_gateway.database import Database
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.job import Job, JobOptions, JobState
from edge_gateway.jobs.service import JobService
from edge_gateway.jobs.session import Sessions
from edge_gateway.jobs.sqlite import SqliteJobs
from edge_gateway.rpc.jobs import JobServicer
from shared.media.probe import MediaInfo, MediaKind
from shared.pb.viseme.gateway.v1.job_pb2_grpc import add_JobServiceServicer_to_server
from shared.rpc.address import Address, parse_listen
from shared.rpc.server import RpcServer

MEDIA = MediaInfo(kind=MediaKind.VIDEO, container="mp4", duration_seconds=1.0)


class Nobody:
    """Does no work."""

    def wake(self) -> None:
        """There is a new job."""

    async def stop(self, job_id: str) -> None:
        """Nothing runs."""

    def clear(self, job_id: str) -> None:
        """Nothing lies about."""


@dataclass(slots=True, kw_only=True)
class Watched:
    """Jobs, and the way to let things happen to them."""

    address: Address
    jobs: SqliteJobs
    journal: Journal
    asset_id: str

    async def job(self) -> str:
        """A new job."""
        now = time.time_ns() // 1000
        job = Job(
            job_id=f"job-{secrets.token_hex(10)}",
            state=JobState.QUEUED,
            video_asset_id=self.asset_id,
            speech_asset_id=self.asset_id,
            options=JobOptions(),
            created_us=now,
            updated_us=now,
        )
        await self.jobs.add(job, "", 1 << 30)
        return job.job_id


@asynccontextmanager
async def watched(folder: Path, *, sessions: int = 20_000, listen: str = "127.0.0.1:0") -> AsyncIterator[Watched]:
    """Serve sessions inside the block."""
    async with Database.open(folder / "edge.db") as database:
        catalog = Catalog(database)
        asset = await catalog.announce(Manifest(size_bytes=1, digests=(b"d" * 32,), display_name="v"), 1)
        await catalog.complete(asset.asset_id, AssetKind.VIDEO, MEDIA)
        repository = SqliteJobs(database)
        journal = Journal(repository)
        service = JobService(
            repository,
            journal,
            None,  # type: ignore[arg-type]  # nobody submits
            Nobody(),
            limits=None,  # type: ignore[arg-type]  # the same
            queue_limit=1,
            engines=frozenset,
        )
        rpc = RpcServer(parse_listen(listen, insecure=True), services=["viseme.gateway.v1.JobService"], grace_s=0.1)
        servicer = JobServicer(service, Sessions(journal, service, limit=sessions), None, None, None)  # type: ignore[arg-type]
        add_JobServiceServicer_to_server(servicer, rpc.server)
        async with rpc.serving() as address:
            yield Watched(address=address, jobs=repository, journal=journal, asset_id=asset.asset_id)
            journal.close()
