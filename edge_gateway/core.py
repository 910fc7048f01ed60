"""The parts of an edge that know no wire, put together: what keeps files and jobs, does the work and tells of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.finished import FinishedFiles
from edge_gateway.assets.leases import Leases
from edge_gateway.assets.pictures import Pictures
from edge_gateway.assets.service import AssetService
from edge_gateway.assets.store import AssetStore
from edge_gateway.assets.stream_catalog import StreamCatalog
from edge_gateway.assets.stream_upload import StreamUploads
from edge_gateway.bounds import (
    asset_limits,
    library_limits,
    media_limits,
    pipeline_settings,
    stream_limits,
)
from edge_gateway.database import Database
from edge_gateway.disk import make_directory
from edge_gateway.jobs.archive import Archives
from edge_gateway.jobs.cards import Cards
from edge_gateway.jobs.children import Children
from edge_gateway.jobs.deadlines import Deadlines
from edge_gateway.jobs.dispatch import Dispatcher
from edge_gateway.jobs.events import Journal
from edge_gateway.jobs.faces import Faces, crop_digests, forget_faces
from edge_gateway.jobs.figures import Gauge
from edge_gateway.jobs.gallery import Gallery
from edge_gateway.jobs.job import UNFINISHED, Change
from edge_gateway.jobs.news import News
from edge_gateway.jobs.pipeline import Pipeline
from edge_gateway.jobs.preview import Previews
from edge_gateway.jobs.reel import Reels
from edge_gateway.jobs.result_reel import ResultReels
from edge_gateway.jobs.results import Results
from edge_gateway.jobs.service import JobService
from edge_gateway.jobs.session import Sessions
from edge_gateway.jobs.shelf import FaceShelf, video_of
from edge_gateway.jobs.sqlite import SqliteJobs
from edge_gateway.jobs.sqlite_news import SqliteNews
from edge_gateway.jobs.stills import Stills
from edge_gateway.jobs.uploads import UploadedInputs
from edge_gateway.jobs.work import Desk
from edge_gateway.keeping.expiry import Expiry
from edge_gateway.keeping.forgets import Forgets
from edge_gateway.keeping.holdings import Holdings
from edge_gateway.keeping.plan import KeepTimes, Kind
from edge_gateway.keeping.quotas import Quotas, unname
from edge_gateway.keeping.sweeper import Sweeper
from edge_gateway.keeping.teller import Teller
from edge_gateway.library.catalog import LibraryCatalog
from edge_gateway.library.service import Libraries
from edge_gateway.library.setting import open_places
from edge_gateway.metrics import EdgeMetrics
from edge_gateway.node_pool import NodePool
from edge_gateway.premises import Premises
from edge_gateway.settings import EdgeSettings
from edge_gateway.webhooks.courier import Courier, CourierLimits
from edge_gateway.webhooks.hosts import WebhookHosts
from edge_gateway.webhooks.outbox import Outbox, enqueue, strike_out
from edge_gateway.webhooks.post import Poster
from edge_gateway.webhooks.secret import own_secret
from edge_gateway.webhooks.service import WebhookService
from shared.access.key import DEFAULT_TENANT
from shared.access.quota import Quota
from shared.errors import VisemeError
from shared.media.limits import MediaLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The parts."""

    database: Database
    assets: AssetService
    libraries: Libraries
    streams: StreamUploads
    jobs: JobService
    sessions: Sessions
    previews: Previews
    journal: Journal
    dispatcher: Dispatcher
    deadlines: Deadlines
    courier: Courier
    webhooks: WebhookService
    shelf: FaceShelf
    repository: SqliteJobs
    node: NodePool
    media: MediaLimits
    news: News
    gauge: Gauge
    cards: Cards
    gallery: Gallery
    pictures: Pictures
    stills: Stills
    inputs: UploadedInputs
    archives: Archives
    sweeper: Sweeper
    teller: Teller


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What a tenant has for itself."""

    name: str
    data: Path
    quota: Callable[[], Quota]


async def open_core(stack: AsyncExitStack, premises: Premises, own: Own) -> Core:
    """Make the parts of one tenant; what must be closed at the end goes onto the stack.

    Raises:
        ConflictError: another edge has the data folder.
        InvalidInputError: the settings ask for what this machine has not.
    """
    settings, node, metrics, data = premises.settings, premises.node, premises.metrics, own.data
    children, watermark = premises.children, premises.watermark
    folders = {name: data / name for name in ("assets", "uploads", "faces", "jobs", "pictures")}
    for folder in folders.values():
        await asyncio.to_thread(make_directory, folder)
    database = await stack.enter_async_context(Database.open(data / "edge.db"))
    media = media_limits(settings)
    quotas = Quotas(database, own.quota)
    repository = SqliteJobs(database, with_new=quotas.spend, with_end=enqueue, with_removal=strike_out)
    shelf, faces, forgets = _faces(
        settings, folders["faces"], database, repository=repository, children=children, node=node, metrics=metrics
    )
    catalog = Catalog(database, forgets)
    store = AssetStore(
        folders["assets"],
        catalog,
        reserve_bytes=settings.disk_reserve_bytes,
        check_new=watermark.check,
        check_size=quotas.check_room,
    )

    async def lost(asset_id: str, error: VisemeError) -> None:
        await dispatcher.lose(asset_id, error)

    def removed(asset_id: str) -> None:
        forget_faces(folders["faces"], asset_id)
        pictures.forget(asset_id)

    leases, expiry = await _leases(settings, database)
    assets = AssetService(
        store,
        catalog,
        children.probe,
        asset_limits(settings),
        on_remove=removed,
        on_lost=lost,
        count_up=metrics.client_up,
        count_down=metrics.client_down,
        piece_bytes=settings.download_piece_bytes,
        leases=leases,
        on_upload=metrics.uploaded,
        expires=expiry.of_asset,
    )
    pictures = Pictures(
        folders["pictures"],
        assets,
        children.picture,
        limit_bytes=settings.picture_cache_bytes,
        at_once=settings.pictures_at_once,
    )
    libraries = Libraries(
        open_places(
            settings.library if own.name == DEFAULT_TENANT else (),
            entries=settings.library_folder_entries,
            answer_s=settings.library_answer_s,
        ),
        LibraryCatalog(database),
        assets,
        catalog,
        limits=library_limits(settings),
    )
    finished = FinishedFiles(store, children.probe, on_remove=removed)
    await finished.finish_removals()
    await finished.drop_unowned()
    inputs = UploadedInputs(repository)
    streams = StreamUploads(
        folders["uploads"],
        StreamCatalog(database),
        store,
        catalog,
        probe=children.probe,
        limits=stream_limits(settings),
        on_asset=leases.renew,
        fates=inputs,
        count_up=metrics.client_up,
        reserve_bytes=settings.disk_reserve_bytes,
        check_new=watermark.check,
        check_size=quotas.check_room,
        clock=lambda: leases.now_us,
        on_upload=metrics.uploaded,
    )

    courier, webhooks = await _webhooks(settings, database, data, metrics)

    def ended(change: Change) -> None:
        metrics.ended(change)
        shelf.wake()
        courier.wake()

    journal = Journal(repository, on_end=ended)
    news = News(SqliteNews(database), followers=settings.event_streams)
    repository.on_news = news.stir
    desk = Desk()
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
        settings=pipeline_settings(settings),
        desk=desk,
        marks=premises.marks,
        on_report=metrics.reported,
        on_progress=metrics.progressed,
        on_speech=forgets.note,
    )

    dispatcher = Dispatcher(
        repository,
        journal,
        pipeline.run,
        folders["jobs"],
        lane=partial(premises.lanes.join, lambda: round(own.quota().jobs_at_once)),
        disk_patience_s=settings.disk_patience_s,
    )
    deadlines = Deadlines(repository, dispatcher.fail)
    inputs.open(streams, dispatcher)
    jobs = JobService(
        repository,
        journal,
        assets,
        dispatcher,
        limits=media,
        queue_limit=settings.queue_limit,
        engines=lambda: frozenset(engine.name for engine in node.engines()),
        named=libraries.known,
        check_webhook=webhooks.check,
        on_accept=deadlines.add,
        uploaded=inputs.known,
        list_limit=settings.job_list,
        check_new=watermark.check,
        expires=expiry.of_job,
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
    return Core(
        database=database,
        assets=assets,
        libraries=libraries,
        streams=streams,
        jobs=jobs,
        sessions=Sessions(journal, jobs, limit=settings.sessions),
        previews=previews,
        journal=journal,
        dispatcher=dispatcher,
        deadlines=deadlines,
        courier=courier,
        webhooks=webhooks,
        shelf=shelf,
        repository=repository,
        node=node,
        media=media,
        news=news,
        gauge=Gauge(desk, node, repository.counts, news.wake, lambda: dispatcher.awaiting),
        cards=Cards(database),
        gallery=Gallery(database, expires=expiry.of_asset),
        pictures=pictures,
        stills=Stills(jobs, reels, pictures),
        inputs=inputs,
        archives=Archives(jobs, assets, limit=settings.zip_jobs),
        teller=Teller(forgets, node.nodes),
        sweeper=Sweeper(
            Holdings(database).all,
            _keep_times(settings),
            lambda: leases.now_us,
            assets,
            jobs,
            on_gone=lambda gone: metrics.let_go(gone.kind.value, gone.size_bytes),
        ),
    )


async def _leases(settings: EdgeSettings, database: Database) -> tuple[Leases, Expiry]:
    leases = await Leases.open(
        database,
        lease_s=settings.asset_lease_s,
        expire_s=settings.upload_expire_s,
        keep_s=min((time for time in (settings.asset_keep_s, settings.result_keep_s) if time), default=0.0),
    )
    return leases, Expiry(_keep_times(settings), settings.upload_expire_s, lambda: leases.now_us, leases.used_us)


def _keep_times(settings: EdgeSettings) -> KeepTimes:
    return KeepTimes(job_s=settings.job_keep_s, result_s=settings.result_keep_s, asset_s=settings.asset_keep_s)


def _faces(
    settings: EdgeSettings,
    root: Path,
    database: Database,
    *,
    repository: SqliteJobs,
    children: Children,
    node: NodePool,
    metrics: EdgeMetrics,
) -> tuple[FaceShelf, Faces, Forgets]:
    async def going(key: str) -> None:
        # A node may keep the crops for longer than they lie here; that they were sent must not be forgotten with them.
        await forgets.note(video_of(key), await asyncio.to_thread(crop_digests, root, key))

    shelf = FaceShelf(
        root,
        settings.face_cache_bytes,
        partial(_videos_in_use, repository),
        keep_s=settings.face_keep_s,
        on_gone=partial(metrics.let_go, Kind.FACE.value),
        on_going=going,
    )
    faces = Faces(root, children.cut, on_open=shelf.take, on_close=shelf.put)
    forgets = Forgets(database, [one.address for one in node.nodes], partial(crop_digests, root), also=unname)
    return shelf, faces, forgets


async def _webhooks(
    settings: EdgeSettings, database: Database, data: Path, metrics: EdgeMetrics
) -> tuple[Courier, WebhookService]:
    hosts, outbox = WebhookHosts(settings.webhook_hosts), Outbox(database)
    courier = Courier(
        outbox,
        hosts,
        settings.webhook_secret or (await asyncio.to_thread(own_secret, data),),
        Poster(answer_s=settings.webhook_answer_s),
        limits=CourierLimits(at_once=settings.webhook_at_once, patience_s=settings.webhook_patience_s),
        on_try=metrics.webhook_tried,
    )
    return courier, WebhookService(outbox, hosts, courier, keep_s=settings.webhook_keep_s)


async def _videos_in_use(repository: SqliteJobs) -> set[str]:
    return {job.video_asset_id for job in await repository.in_states(UNFINISHED)}


@asynccontextmanager
async def running(core: Core) -> AsyncIterator[None]:
    """Run a tenant's jobs, and keep its house, inside the block."""
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(core.dispatcher.run()),
            tasks.create_task(core.deadlines.run()),
            tasks.create_task(core.courier.run()),
            tasks.create_task(core.webhooks.keep_swept()),
            tasks.create_task(core.shelf.run()),
            tasks.create_task(core.streams.keep_swept()),
            tasks.create_task(core.inputs.keep_settled()),
            tasks.create_task(core.assets.keep_swept()),
            tasks.create_task(core.sweeper.run()),
            tasks.create_task(core.teller.run()),
            tasks.create_task(core.database.keep_erased()),
            tasks.create_task(core.news.run()),
            tasks.create_task(core.gauge.run()),
        ]
        yield
        for task in running:
            task.cancel()
