"""The tenants of an edge: each has parts, a folder and a database of its own, so that nothing of one shows in another.

What an edge had before it asked who calls is the default tenant's, in the data folder itself; the others lie below
``tenants``. A tenant is opened when it is first called; those that lie there are opened at the start, since jobs of
theirs may wait.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp

from edge_gateway.core import Core, Own, open_core, running
from edge_gateway.jobs.job import JobState
from edge_gateway.premises import Premises
from edge_gateway.services import Services
from shared.access.key import DEFAULT_TENANT, check_tenant
from shared.access.quota import Quota
from shared.errors import EdgeUnavailableError, NotFoundError, ResourceExhaustedError
from shared.lock import locked

if TYPE_CHECKING:
    import grpc

_COUNT_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant that is open."""

    name: str
    core: Core
    services: Services
    """What answers for it, by gRPC and by HTTP."""


class Tenants:
    """Opens tenants; made by :meth:`open`."""

    def __init__(
        self,
        premises: Premises,
        quota: Callable[[str], Quota],
        serve: Callable[[str, Core], Services],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._premises = premises
        self._quota = quota
        self._serve = serve
        self._tasks = tasks
        self._open: dict[str, asyncio.Future[Tenant]] = {}
        self._closing = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, premises: Premises, quota: Callable[[str], Quota], serve: Callable[[str, Core], Services]
    ) -> AsyncIterator["Tenants"]:
        """Open the tenants that lie there, and run their jobs inside the block.

        Args:
            premises: What they share.
            quota: Gives what a tenant may have, now.
            serve: Makes what answers for one.

        Raises:
            VisemeError: One cannot be opened.
        """
        async with asyncio.TaskGroup() as tasks:
            tenants = cls(premises, quota, serve, tasks)
            try:
                folder = tenants._folder
                there = [one.name for one in folder.iterdir() if one.is_dir()] if folder.is_dir() else []
                for name in (DEFAULT_TENANT, *sorted(there)):
                    await tenants.get(name)
                yield tenants
            finally:
                tenants._closing.set()

    @property
    def _folder(self) -> Path:
        return self._premises.settings.data.resolve() / "tenants"

    async def get(self, name: str) -> Tenant:
        """A tenant, opened if it was not yet.

        Raises:
            ResourceExhaustedError: There are as many as may be.
            VisemeError: It cannot be opened.
        """
        found = self._open.get(name)
        if found is None:
            if self._closing.is_set():
                raise EdgeUnavailableError("the edge ends")
            if len(self._open) >= self._premises.settings.tenants:
                message = f"this edge has {self._premises.settings.tenants} tenants already"
                raise ResourceExhaustedError(message, limit="tenants")
            found = self._open[check_tenant(name)] = asyncio.get_running_loop().create_future()
            self._tasks.create_task(self._run(name, found))
        try:
            return await asyncio.shield(found)
        except BaseException:
            if found.done() and not found.cancelled() and found.exception() is not None:
                self._open.pop(name, None)
            raise

    async def handlers(self, name: str) -> "Mapping[str, grpc.RpcMethodHandler[Any, Any]]":
        """What answers calls for a tenant, by the names of methods."""
        return (await self.get(name)).services.handlers

    async def site(self, name: str) -> ASGIApp:
        """What answers requests for a tenant."""
        return (await self.get(name)).services.site

    async def result(self, name: str, job_id: str) -> str:
        """The asset that a tenant's job has made.

        Raises:
            NotFoundError: There is no such job, or it has made none.
        """
        job = await (await self.get(name)).core.jobs.get(job_id)
        if not job.result_asset_id:
            raise NotFoundError("there is no result", field="job_id")
        return job.result_asset_id

    def quiet(self) -> None:
        """End what watchers follow: the edge ends."""
        for tenant in self._all():
            tenant.core.journal.close()
            tenant.core.news.close()
            tenant.core.streams.close()

    def _all(self) -> list[Tenant]:
        return [one.result() for one in self._open.values() if one.done() and one.exception() is None]

    async def _run(self, name: str, opened: "asyncio.Future[Tenant]") -> None:
        data = self._premises.settings.data.resolve() if name == DEFAULT_TENANT else self._folder / name
        async with AsyncExitStack() as stack:
            try:
                if name != DEFAULT_TENANT:
                    stack.enter_context(locked(data))
                own = Own(name=name, data=data, quota=lambda: self._quota(name))
                core = await open_core(stack, self._premises, own)
                tenant = Tenant(name=name, core=core, services=self._serve(name, core))
            except Exception as error:  # noqa: BLE001 - whoever asked for the tenant is told
                opened.set_exception(error)
                return
            async with running(core):
                opened.set_result(tenant)
                await self._closing.wait()

    async def count(self, tell: Callable[..., None]) -> None:
        """Count all tenants' jobs together until cancelled: figures of one are nobody else's business."""
        node = self._premises.node
        while True:
            tenants = self._all()
            counts: Counter[JobState] = Counter()
            for one in await _each(tenants, lambda core: core.repository.counts()):
                counts.update(one)
            ages = await _each(tenants, lambda core: core.repository.queue_age_s())
            tell(
                _with_all(counts),
                node_up=node.is_up,
                nodes={standing.value: count for standing, count in node.counts().items()},
                queue_age_s=max(ages, default=0.0),
                bits_s=node.up_bits_s,
            )
            await asyncio.sleep(_COUNT_S)


async def _each(tenants: list[Tenant], ask: Callable[[Core], Awaitable[Any]]) -> list[Any]:
    return [await ask(tenant.core) for tenant in tenants]


def _with_all(counts: Mapping[JobState, int]) -> dict[JobState, int]:
    return {state: counts.get(state, 0) for state in JobState}
