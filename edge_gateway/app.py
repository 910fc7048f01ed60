"""The edge put together: everything is made here, in one stack, and taken down in the reverse order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette

from edge_gateway.assets.asset import AssetLimits
from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.finished import FinishedFiles
from edge_gateway.assets.leases import Leases
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from edge_gateway.assets.stream import StreamLimits
from edge_gateway.assets.stream_catalog import StreamCatalog
from edge_gateway.assets.stream_upload import StreamUploads
from edge_gateway.database import Database
from edge_gateway.disk import make_directory
from edge_gateway.identity import Identity
from edge_gateway.jobs.children import PRELOAD, Children, ChildSettings
from edge_gateway.jobs.dispatch import Dispatcher
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.faces import Faces
from edge_gateway.jobs.job import UNFINISHED, Change
from edge_gateway.jobs.pipeline import Pipeline
from edge_gateway.jobs.preview import Previews
from edge_gateway.jobs.reel import Reels
from edge_gateway.jobs.render import RenderSettings
from edge_gateway.jobs.result_reel import ResultReels
from edge_gateway.jobs.results import Results
from edge_gateway.jobs.service import JobService
from edge_gateway.jobs.shelf import FaceShelf
from edge_gateway.jobs.sqlite import SqliteJobs
from edge_gateway.jobs.work import PipelineSettings
from edge_gateway.library.catalog import LibraryCatalog
from edge_gateway.library.service import Libraries, LibraryLimits
from edge_gateway.library.setting import open_places
from edge_gateway.metrics import EdgeMetrics
from edge_gateway.nodes import GrpcNode
from edge_gateway.rpc.assets import AssetServicer
from edge_gateway.rpc.jobs import JobServicer
from edge_gateway.rpc.network import NetworkServicer
from edge_gateway.settings import EdgeSettings
from edge_gateway.web.content import Content
from edge_gateway.web.http import HeadLimits
from edge_gateway.web.library import LibraryPages
from edge_gateway.web.preview import PreviewPages
from edge_gateway.web.server import serve_web
from edge_gateway.web.status import StatusPage
from edge_gateway.web.tus import TusFiles
from shared.errors import VisemeError
from shared.lock import locked
from shared.media.limits import MediaLimits
from shared.media.profile import PROFILES, LinkProfile
from shared.media.sandbox import Sandbox
from shared.pb.viseme.gateway.v1.asset_pb2_grpc import add_AssetServiceServicer_to_server
from shared.pb.viseme.gateway.v1.job_pb2_grpc import add_JobServiceServicer_to_server
from shared.pb.viseme.gateway.v1.network_pb2_grpc import add_NetworkServiceServicer_to_server
from shared.rpc.address import Address, parse_address, parse_listen
from shared.rpc.congestion import tell_congestion_control
from shared.rpc.server import RpcServer
from shared.telemetry.metrics import CallMetrics, new_registry, serve_metrics
from shared.version import version

_SERVICES = (
    "viseme.gateway.v1.AssetService",
    "viseme.gateway.v1.JobService",
    "viseme.gateway.v1.NetworkService",
)
_FIGURES_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a running edge listens."""

    rpc: Address
    web: Address
    metrics: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """The parts that know no wire."""

    assets: AssetService
    libraries: Libraries
    streams: StreamUploads
    jobs: JobService
    previews: Previews
    journal: Journal
    dispatcher: Dispatcher
    shelf: FaceShelf
    repository: SqliteJobs
    node: GrpcNode
    media: MediaLimits


@asynccontextmanager
async def edge(settings: EdgeSettings) -> AsyncIterator[Addresses]:
    """Run an edge inside the block.

    At the end it says NOT_SERVING, gives calls their grace and stops; jobs that run then go on at the next start.

    Raises:
        InvalidInputError: an address in the settings is none.
        ConflictError: an address cannot be listened on, or another edge has the data folder.
    """
    listen = parse_listen(settings.listen, insecure=settings.insecure)
    web = parse_listen(settings.web, field="web", insecure=settings.insecure)
    scraped = parse_listen(settings.metrics, field="metrics", insecure=settings.insecure)
    node_address = parse_address(settings.node, field="node")
    tell_congestion_control(node_address)
    async with AsyncExitStack() as stack:
        registry = new_registry()
        metrics = EdgeMetrics(registry, settings.name)
        node = await stack.enter_async_context(
            GrpcNode.open(node_address, on_up=metrics.node_up, on_down=metrics.node_down)
        )
        core = await _core(stack, settings, node, metrics)
        rpc = RpcServer(listen, services=_SERVICES, observe=CallMetrics(registry), grace_s=settings.grace_seconds)
        here: list[Address] = [listen]
        identity = Identity(
            version=version(),
            name=settings.name,
            region=settings.region,
            address=lambda: str(here[-1]),
            engines=node.engines,
        )
        add_AssetServiceServicer_to_server(AssetServicer(core.assets, core.libraries, identity, core.media), rpc.server)
        add_JobServiceServicer_to_server(JobServicer(core.jobs, core.journal, core.previews), rpc.server)
        add_NetworkServiceServicer_to_server(NetworkServicer(identity), rpc.server)
        page = StatusPage(identity, core.jobs, lambda: (node.address, node.is_up), rpc.draining.is_set)
        site = _site(core, page)
        await stack.enter_async_context(_background(core, metrics, settings.node_poll_s))
        metrics_at = stack.enter_context(serve_metrics(registry, scraped))
        head = HeadLimits(bytes=settings.web_head_bytes, seconds=settings.web_head_s)
        web_at = await stack.enter_async_context(serve_web(site, web, grace_s=settings.grace_seconds, head=head))
        rpc_at = await stack.enter_async_context(rpc.serving())
        stack.callback(core.journal.close)
        stack.callback(core.streams.close)
        here.append(rpc_at)
        yield Addresses(rpc=rpc_at, web=web_at, metrics=metrics_at)


async def _core(stack: AsyncExitStack, settings: EdgeSettings, node: GrpcNode, metrics: EdgeMetrics) -> _Core:
    data: Path = settings.data.resolve()
    # A second edge on the same folder would put the jobs that run back to the queue, and drop their files.
    stack.enter_context(locked(data))
    folders = {name: data / name for name in ("assets", "uploads", "faces", "jobs")}
    for folder in folders.values():
        await asyncio.to_thread(make_directory, folder)
    database = await stack.enter_async_context(Database.open(data / "edge.db"))
    sandbox = await stack.enter_async_context(Sandbox(preload=PRELOAD))
    media = _media_limits(settings)
    children = Children(sandbox, _child_settings(settings, media))
    catalog = Catalog(database)
    repository = SqliteJobs(database)
    shelf = FaceShelf(folders["faces"], settings.face_cache_bytes, partial(_videos_in_use, repository))
    faces = Faces(folders["faces"], children.cut, on_open=shelf.take, on_close=shelf.put)
    store = AssetStore(folders["assets"], catalog, reserve_bytes=settings.disk_reserve_bytes)

    async def lost(asset_id: str, error: VisemeError) -> None:
        await dispatcher.lose(asset_id, error)

    leases = await Leases.open(database, lease_s=settings.asset_lease_s, expire_s=settings.upload_expire_s)
    assets = AssetService(
        store,
        catalog,
        children.probe,
        _asset_limits(settings),
        on_remove=faces.forget,
        on_lost=lost,
        count_up=metrics.client_up,
        count_down=metrics.client_down,
        piece_bytes=settings.download_piece_bytes,
        leases=leases,
    )
    libraries = Libraries(
        open_places(settings.library, entries=settings.library_folder_entries, answer_s=settings.library_answer_s),
        LibraryCatalog(database),
        assets,
        catalog,
        limits=_library_limits(settings),
    )
    finished = FinishedFiles(store, children.probe, on_remove=faces.forget)
    await finished.drop_unowned()
    streams = StreamUploads(
        folders["uploads"],
        StreamCatalog(database),
        store,
        catalog,
        probe=children.probe,
        limits=_stream_limits(settings),
        on_asset=leases.renew,
        count_up=metrics.client_up,
        reserve_bytes=settings.disk_reserve_bytes,
        clock=lambda: leases.now_us,
    )

    def ended(change: Change) -> None:
        metrics.ended(change)
        shelf.wake()

    journal = Journal(repository, on_end=ended)
    reels = Reels(children.fragments)
    pipeline = Pipeline(
        assets=assets,
        faces=faces,
        children=children,
        node=node,
        journal=journal,
        reels=reels,
        results=Results(finished, journal),
        folder=lambda job_id: folders["jobs"] / job_id,
        settings=_pipeline_settings(settings),
        on_report=metrics.reported,
    )

    dispatcher = Dispatcher(
        repository,
        journal,
        pipeline.run,
        folders["jobs"],
        at_once=settings.jobs_at_once,
        disk_patience_s=settings.disk_patience_s,
    )
    jobs = JobService(
        repository,
        journal,
        assets,
        dispatcher,
        limits=media,
        queue_limit=settings.queue_limit,
        engines=lambda: frozenset(engine.name for engine in node.engines()),
        named=libraries.known,
    )
    previews = Previews(
        jobs,
        journal,
        reels,
        ResultReels(assets, children.result_fragments),
        piece_bytes=settings.download_piece_bytes,
        watchers=settings.preview_watchers,
        count_down=metrics.client_down,
    )
    return _Core(
        assets=assets,
        libraries=libraries,
        streams=streams,
        jobs=jobs,
        previews=previews,
        journal=journal,
        dispatcher=dispatcher,
        shelf=shelf,
        repository=repository,
        node=node,
        media=media,
    )


async def _videos_in_use(repository: SqliteJobs) -> set[str]:
    return {job.video_asset_id for job in await repository.in_states(UNFINISHED)}


def _site(core: _Core, page: StatusPage) -> Starlette:
    library = LibraryPages(core.libraries)
    files, content, previews = TusFiles(core.streams), Content(core.assets, core.jobs), PreviewPages(core.previews)
    return Starlette(routes=[*page.routes(), *files.routes(), *content.routes(), *previews.routes(), *library.routes()])


@asynccontextmanager
async def _background(core: _Core, metrics: EdgeMetrics, poll_s: float) -> AsyncIterator[None]:
    """Run jobs, ask the node how it is and count, inside the block."""
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(core.dispatcher.run()),
            tasks.create_task(core.shelf.run()),
            tasks.create_task(core.node.watch(poll_s)),
            tasks.create_task(core.streams.keep_swept()),
            tasks.create_task(core.assets.keep_swept()),
            tasks.create_task(_count(core, metrics.counted)),
        ]
        yield
        for task in running:
            task.cancel()


async def _count(core: _Core, tell: Callable[..., None]) -> None:
    while True:
        tell(await core.repository.counts(), node_up=core.node.is_up)
        await asyncio.sleep(_FIGURES_S)


def _media_limits(settings: EdgeSettings) -> MediaLimits:
    return MediaLimits(
        frame_pixels=settings.frame_pixels,
        photo_pixels=settings.photo_pixels,
        duration_seconds=settings.duration_seconds,
        min_speech_seconds=settings.min_speech_seconds,
        decoded_pixels=settings.decoded_pixels,
    )


def _asset_limits(settings: EdgeSettings) -> AssetLimits:
    return AssetLimits(
        asset_bytes=settings.asset_bytes,
        manifest_chunks=settings.manifest_chunks,
        piece_bytes=settings.piece_bytes,
        buffer_bytes=settings.upload_buffer_bytes,
        total_bytes=settings.uploads_buffer_bytes,
        idle_s=settings.upload_idle_s,
        progress_bytes=settings.upload_progress_bytes,
        progress_s=settings.upload_progress_s,
    )


def _library_limits(settings: EdgeSettings) -> LibraryLimits:
    return LibraryLimits(
        at_once=settings.library_at_once,
        queue=settings.library_queue,
        settle_s=settings.library_settle_s,
        patience_s=settings.library_patience_s,
    )


def _stream_limits(settings: EdgeSettings) -> StreamLimits:
    return StreamLimits(
        asset_bytes=settings.asset_bytes,
        manifest_chunks=settings.manifest_chunks,
        open_uploads=settings.tus_uploads,
        metadata_bytes=settings.tus_metadata_bytes,
        parts=settings.tus_parts,
        idle_s=settings.upload_idle_s,
        expire_s=settings.tus_expire_s,
        progress_bytes=settings.upload_progress_bytes,
        progress_s=settings.upload_progress_s,
    )


def _child_settings(settings: EdgeSettings, media: MediaLimits) -> ChildSettings:
    return ChildSettings(
        media=media,
        memory_bytes=settings.child_memory_bytes,
        cpu_s=settings.child_cpu_seconds,
        file_bytes=settings.child_file_bytes,
        probe_s=settings.probe_seconds,
        speech_s=settings.speech_seconds,
        finish_s=settings.finish_seconds,
        result_crf=settings.result_crf,
        result_preset=settings.result_preset,
    )


def _profiles(settings: EdgeSettings) -> tuple[LinkProfile, ...]:
    """The link profiles that a job may have, the best first."""
    if settings.link_profile != "auto":
        return (PROFILES[settings.link_profile],)
    known = list(PROFILES.values())
    return tuple(known[known.index(PROFILES[settings.link_profile_best]) :])


def _pipeline_settings(settings: EdgeSettings) -> PipelineSettings:
    return PipelineSettings(
        segment_s=settings.segment_seconds,
        profiles=_profiles(settings),
        frame_pixels=settings.frame_pixels,
        stall_s=settings.upload_stall_s,
        render=RenderSettings(
            window=settings.node_window,
            window_bytes=settings.node_window_bytes,
            piece_bytes=settings.node_piece_bytes,
            segment_bytes=settings.node_segment_bytes,
            patience_s=settings.node_patience_s,
            silence_s=settings.node_silence_s,
        ),
    )
