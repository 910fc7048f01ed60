"""Puts a node together. Nothing else constructs its parts."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from inference_node.engine.local import LocalRuntime, LocalTensors
from inference_node.engine.port import Tensors
from inference_node.engine.registry import MODEL_REPOSITORY, EngineFactory, Registry, builtin_engines, registry
from inference_node.engine.triton import TritonTensors
from inference_node.metrics import NodeMetrics
from inference_node.own.folder import look, make_folder
from inference_node.own.shelf import Shelf
from inference_node.render.cache import BlobCache
from inference_node.render.library import Library
from inference_node.render.queue import FairQueue
from inference_node.render.segment import SegmentRenderer
from inference_node.render.service import NodeService
from inference_node.render.session import Ticket
from inference_node.render.worker import Workers
from inference_node.rpc.servicer import SERVICE, RenderServicer
from inference_node.settings import EngineRuntime, NodeSettings
from inference_node.speech.listener import MODEL as SPEECH_MODEL
from inference_node.speech.listener import Listener
from inference_node.triton.environment import TritonEnvironmentError, find
from inference_node.triton.server import ServerOptions, triton_server
from inference_node.triton.watchdog import Patience, TritonState, Watchdog
from shared.errors import InvalidInputError
from shared.lock import locked
from shared.pb.viseme.inference.v1.render_pb2_grpc import add_RenderServiceServicer_to_server
from shared.rpc.address import Address, parse_listen
from shared.rpc.congestion import tell_congestion_control
from shared.rpc.server import RpcServer
from shared.rpc.tls import Door
from shared.telemetry.logging import get_logger
from shared.telemetry.metrics import CallMetrics, certificate_gauge, new_registry, serve_metrics
from shared.tls.files import TlsFiles
from shared.version import version

_LOG = get_logger(__name__)


class Runtime(Protocol):
    """Where networks run: a watched Triton, or this process."""

    @property
    def state(self) -> TritonState:
        """How it is."""
        ...

    async def next_state(self, seen: TritonState | None) -> TritonState:
        """Wait until the state is another than the one that was seen."""
        ...

    async def recovered(self, timeout_s: float) -> None:
        """Wait until networks answer again."""
        ...

    async def add(self, name: str) -> None:
        """Load one more network, and keep it loaded."""
        ...

    async def drop(self, name: str) -> None:
        """Let it go."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that serves."""

    rpc: Address
    metrics: Address
    runtime: Runtime
    shelf: Shelf | None
    """The user's own networks, where there is a folder of them."""


class _Background:
    """Tasks that end, latest first, with the node; one that fails ends the node."""

    def __init__(self, stack: AsyncExitStack, group: asyncio.TaskGroup) -> None:
        self._stack = stack
        self._group = group

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start a task."""
        self._stack.push_async_callback(_end, self._group.create_task(work, name=name))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


@asynccontextmanager
async def running_node(
    settings: NodeSettings, *, factories: Mapping[str, EngineFactory] | None = None
) -> AsyncIterator[Node]:
    """Serve inside the block; at its end say NOT_SERVING, drain, and end Triton.

    Args:
        settings: What the node was told.
        factories: The engines; those that come with viseme by default.

    Raises:
        InvalidInputError: the settings ask for what cannot be.
        ConflictError: an address is in use, or another node has the folder.
    """
    try:
        async with _running(settings, factories or builtin_engines()) as node:
            yield node
    except BaseExceptionGroup as group:  # one error is that error, even where tasks ran beside
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


@asynccontextmanager
async def _running(settings: NodeSettings, factories: Mapping[str, EngineFactory]) -> AsyncIterator[Node]:
    files = TlsFiles.of(settings.tls_certificate, settings.tls_key, settings.peer_ca, field="tls_certificate")
    # Whoever is on the network may speak by TLS with a node that asks nobody for a certificate.
    is_closed = settings.peer_ca is not None
    listen = parse_listen(settings.listen, insecure=settings.insecure or (files is not None and is_closed))
    listen = replace(listen, is_encrypted=files is not None)
    metrics_listen = parse_listen(settings.metrics, field="metrics", insecure=settings.insecure or files is not None)
    async with AsyncExitStack() as stack:
        stack.enter_context(locked(settings.data))
        tell_congestion_control(listen)
        page = new_registry()
        metrics = NodeMetrics(page, node=settings.node_name, region=settings.region)
        data = settings.data
        metrics.sample_disk(
            free_bytes=lambda: shutil.disk_usage(data).free, size_bytes=lambda: shutil.disk_usage(data).total
        )
        tasks = _Background(stack, await stack.enter_async_context(asyncio.TaskGroup()))
        engines, tensors, runtime = await _networks(settings, factories, stack, tasks, metrics)
        shelf = None
        if settings.models is not None:
            shelf = Shelf(settings.models, engines, tensors, runtime, period_s=settings.models_seconds)
            tasks.start(shelf.run(), "own networks")
        cache = await asyncio.to_thread(
            BlobCache, settings.data / "cache", limit_bytes=settings.cache_bytes, keep_s=settings.cache_keep_s
        )
        tasks.start(cache.keep_swept(), "cache")
        queue: FairQueue[Ticket] = FairQueue(limit=settings.queue_segments)
        executor = ThreadPoolExecutor(settings.thread_count, thread_name_prefix="render")
        stack.callback(executor.shutdown, wait=False, cancel_futures=True)
        library = Library(
            cache, executor, listener=Listener(tensors), frames_bytes=settings.frames_bytes, metrics=metrics
        )
        renderer = SegmentRenderer(
            library, metrics, batch_frames=settings.batch_frames, kept_bytes=settings.results_bytes
        )

        def forget(digests: Collection[bytes]) -> None:
            library.forget(digests)
            renderer.forget()

        service = NodeService(
            node=settings.node_name,
            registry=engines,
            cache=cache,
            queue=queue,
            runtime=runtime,
            limits=settings.limits(),
            metrics=metrics,
            on_forget=forget,
        )
        workers = _workers(settings, renderer, queue=queue, cache=cache, runtime=runtime, metrics=metrics)
        tasks.start(workers.run(), "workers")
        rpc = _rpc(settings, listen, service, page, metrics, files=files)
        metrics_address = stack.enter_context(serve_metrics(page, metrics_listen))
        address = await stack.enter_async_context(rpc.serving())
        tasks.start(_tell_state(runtime, rpc, metrics), "health")
        yield Node(rpc=address, metrics=metrics_address, runtime=runtime, shelf=shelf)


async def _networks(
    settings: NodeSettings,
    factories: Mapping[str, EngineFactory],
    stack: AsyncExitStack,
    tasks: _Background,
    metrics: NodeMetrics,
) -> tuple[Registry, Tensors, Runtime]:
    if settings.models is not None:
        await asyncio.to_thread(make_folder, settings.models)
    if settings.engine not in factories and not _is_own(settings.engine, settings.models):
        raise InvalidInputError(f"There is no engine {settings.engine!r}.", field="engine")
    repository = settings.model_repository or MODEL_REPOSITORY
    if settings.engine_runtime is EngineRuntime.LOCAL:
        _LOG.warning("local, no Triton: networks run in the node's own process")
        repositories = [repository] if settings.models is None else [repository, settings.models]
        local = LocalTensors(*repositories, observe=metrics.called)
        return registry(factories, local, default=settings.engine), local, LocalRuntime(local)
    if settings.triton_url:
        server, url = None, settings.triton_url
    else:
        server = await stack.enter_async_context(triton_server(_server_options(settings, repository)))
        url = server.url
    tensors = TritonTensors(url, deadline_s=settings.network_deadline_seconds, observe=metrics.called)
    stack.push_async_callback(tensors.close)
    engines = registry(factories, tensors, default=settings.engine)
    called = f"Triton at {settings.triton_url}" if settings.triton_url else "Triton"
    # The score hears the speech by viseme's own network, whatever the engines use.
    models = tuple(dict.fromkeys((*engines.models, SPEECH_MODEL)))
    metrics.watched(*models)
    watchdog = Watchdog(tensors, server, models, patience=Patience(), on_reload=metrics.reloaded, called=called)
    tasks.start(watchdog.run(), "watchdog")
    return engines, tensors, watchdog


def _is_own(name: str, models: Path | None) -> bool:
    return models is not None and name in look(models)[0]


def _server_options(settings: NodeSettings, repository: Path) -> ServerOptions:
    try:
        environment = find(settings.triton_environment)
    except TritonEnvironmentError as error:
        raise InvalidInputError(str(error), field="triton_environment") from error
    metrics = parse_listen(settings.triton_metrics, field="triton_metrics") if settings.triton_metrics else None
    return ServerOptions(
        environment=environment,
        repository=repository,
        folder=settings.data / "triton",
        own=settings.models,
        config_name=settings.triton_config,
        metrics=metrics,
    )


def _workers(
    settings: NodeSettings,
    renderer: SegmentRenderer,
    *,
    queue: FairQueue[Ticket],
    cache: BlobCache,
    runtime: Runtime,
    metrics: NodeMetrics,
) -> Workers:
    return Workers(
        queue,
        renderer,
        cache=cache,
        runtime=runtime,
        count=settings.workers,
        recovery_s=settings.recovery_seconds,
        metrics=metrics,
    )


def _rpc(
    settings: NodeSettings,
    listen: Address,
    service: NodeService,
    page: CollectorRegistry,
    metrics: NodeMetrics,
    *,
    files: TlsFiles | None,
) -> RpcServer:
    if files is not None:
        certificate_gauge(page, "viseme_node", metrics.here, {"server": files.ends})
    rpc = RpcServer(
        listen,
        services=[SERVICE],
        observe=CallMetrics(page, metrics.here),
        grace_s=settings.grace_seconds,
        door=Door(files=files, role="edge" if settings.peer_ca else "") if files else None,
    )
    add_RenderServiceServicer_to_server(
        RenderServicer(service, version=version(), is_draining=rpc.draining.is_set), rpc.server
    )
    return rpc


async def _tell_state(runtime: Runtime, rpc: RpcServer, metrics: NodeMetrics) -> None:
    """Keep health and metrics at what the networks are: without them the node renders nothing."""
    state: TritonState | None = None
    while True:
        state = await runtime.next_state(state)
        metrics.triton(state)
        await rpc.set_serving(serving=state in {TritonState.READY, TritonState.LOCAL})
