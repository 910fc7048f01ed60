"""The node's service: streams are taken in, and it says how it is."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from inference_node.engine.port import EngineCard
from inference_node.engine.registry import Registry
from inference_node.metrics import NodeMetrics
from inference_node.render.cache import BlobCache
from inference_node.render.limits import StreamLimits
from inference_node.render.messages import JobSpec, Message, Reply
from inference_node.render.queue import FairQueue
from inference_node.render.session import Session, Ticket
from inference_node.triton.watchdog import TritonState
from shared.errors import InvalidInputError, LimitExceededError, ResourceExhaustedError

MOST_FORGOTTEN: Final = 1024
"""Digests that one call may name."""
_DIGEST_BYTES: Final = 32
_RETRY_S = 2.0


class HasState(Protocol):
    """Where networks run."""

    @property
    def state(self) -> TritonState:
        """How it is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """How the node is."""

    node: str
    triton: TritonState
    engines: tuple[EngineCard, ...]
    default_engine: str
    queued_segments: int
    queue_limit: int
    active_jobs: int
    cache_bytes: int
    cache_limit_bytes: int


class NodeService:
    """Renders streams.

    Args:
        node: The node's name.
        registry: The engines.
        cache: Crop segments and speech.
        queue: Where orders of all streams wait.
        runtime: Where networks run.
        limits: What a stream may ask for.
        metrics: The node's figures.
        on_forget: Told what is to be forgotten, for those who keep something of it in memory.
    """

    def __init__(
        self,
        *,
        node: str,
        registry: Registry,
        cache: BlobCache,
        queue: FairQueue[Ticket],
        runtime: HasState,
        limits: StreamLimits,
        metrics: NodeMetrics,
        on_forget: Callable[[Collection[bytes]], None] = lambda _: None,
    ) -> None:
        self._node = node
        self._registry = registry
        self._cache = cache
        self._queue = queue
        self._runtime = runtime
        self._limits = limits
        self._metrics = metrics
        self._on_forget = on_forget
        self._streams = 0
        metrics.sample(queued=lambda: len(queue), jobs=lambda: self._streams, cache_bytes=lambda: cache.used_bytes)

    async def render(self, messages: AsyncIterator[Message]) -> AsyncGenerator[Reply, None]:
        """Serve one stream.

        Raises:
            VisemeError: it asks for what cannot be.
        """
        most = self._limits.max_streams
        if self._streams >= most:
            message = f"{most} render streams are open at the node {self._node}."
            raise ResourceExhaustedError(message, limit="max_streams", retry_after_s=_RETRY_S)
        self._streams += 1
        try:
            async with aclosing(self._serve(messages)) as replies:
                async for reply in replies:
                    yield reply
        finally:
            self._streams -= 1

    async def _serve(self, messages: AsyncIterator[Message]) -> AsyncGenerator[Reply, None]:
        spec = await anext(messages, None)
        if not isinstance(spec, JobSpec):
            raise InvalidInputError("A render stream begins with its spec.", field="spec")
        session = Session(
            spec,
            self._registry.get(spec.engine),
            node=self._node,
            cache=self._cache,
            queue=self._queue,
            limits=self._limits,
            metrics=self._metrics,
        )
        async with aclosing(session.replies(messages)) as replies:
            async for reply in replies:
                yield reply

    async def forget(self, digests: Collection[bytes]) -> tuple[int, list[bytes]]:
        """Delete crop segments and speech; gives how many there were, and those that are being rendered from.

        Raises:
            LimitExceededError: they are too many.
            InvalidInputError: one is no SHA-256.
        """
        if len(digests) > MOST_FORGOTTEN:
            message = f"At most {MOST_FORGOTTEN} digests are forgotten in one call, not {len(digests)}."
            raise LimitExceededError(message, field="digests", limit="digests")
        if any(len(digest) != _DIGEST_BYTES for digest in digests):
            raise InvalidInputError("A SHA-256 digest has 32 bytes.", field="digests")
        in_use = self._cache.in_use(digests)
        self._on_forget(frozenset(digests))
        return await self._cache.drop(digests), in_use

    def status(self) -> NodeStatus:
        """How the node is now."""
        return NodeStatus(
            node=self._node,
            triton=self._runtime.state,
            engines=tuple(engine.card for engine in self._registry.engines.values()),
            default_engine=self._registry.default,
            queued_segments=len(self._queue),
            queue_limit=self._queue.limit,
            active_jobs=self._streams,
            cache_bytes=self._cache.used_bytes,
            cache_limit_bytes=self._cache.limit_bytes,
        )
