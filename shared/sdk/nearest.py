"""Which of several edges answers, and how soon; asked on connections of their own, so that nothing old decides."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.rpc.address import Address
from shared.rpc.channel import open_channel
from shared.rpc.tls import Trust

_SERVICE: Final = "viseme.gateway.v1.JobService"
_ANSWER_S: Final = 3.0
"""Time within which an edge must answer."""
_TRIPS: Final = 2
"""Round trips that are timed, after one that also connects."""
_OTHERS: Final = 2.0
_OTHERS_S: Final = 0.1
"""Once one edge has answered, the others have so many times what it took, and so long, to do the same."""
_HERE_S: Final = 0.5
"""For the edge in use, or that was used last, which is not left lightly."""


async def is_serving(channel: grpc.aio.Channel, timeout_s: float = _ANSWER_S) -> bool:
    """Whether an edge answers and takes work."""
    try:
        request = health_pb2.HealthCheckRequest(service=_SERVICE)
        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)
    except grpc.RpcError as error:
        # Whoever does not know the question is there all the same.
        return isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.UNIMPLEMENTED
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def round_trip(address: Address, trust: Trust | None = None) -> float | None:
    """Seconds that an edge takes to answer, at best; None where it does not, or takes no work."""
    clock = asyncio.get_running_loop().time
    async with open_channel(address, own_connection=True, trust=trust) as channel:
        best: float | None = None
        for number in range(1 + _TRIPS):
            asked = clock()
            if not await is_serving(channel):
                return None
            if number:
                best = min(clock() - asked, best or _ANSWER_S)
        return best


async def nearest(
    addresses: Sequence[Address], prefer: Address | None = None, *, trust: Trust | None = None
) -> tuple[Address, float] | None:
    """The edge with the shortest round trip, in seconds; None where none answers.

    Args:
        addresses: The edges.
        prefer: Taken at once if it answers first, or soon after the first.
        trust: How they are taken by TLS.
    """
    async with _asked(addresses, trust) as asking:
        answered = await _first(asking, set(addresses))
        if not answered:
            return None
        trips = {address: _trip(asking[address]) for address in answered}
        slack_s = max(_OTHERS_S, _OTHERS * min(trips.values()) * (1 + _TRIPS))
        if prefer not in trips:
            waited = [asking[prefer]] if prefer in asking else list(asking.values())
            await asyncio.wait(waited, timeout=max(slack_s, _HERE_S) if prefer in asking else slack_s)
        trips = {address: _trip(task) for address, task in asking.items() if _answers(task)}
        best = prefer if prefer in trips else min(trips, key=lambda address: trips[address])
        return best, trips[best]


async def first_to_answer(here: Address, others: Sequence[Address], *, trust: Trust | None = None) -> Address | None:
    """Where to go on when the edge in use does not answer; None where nobody does.

    It is that edge again if it answers before another, or right after.
    """
    clock = asyncio.get_running_loop().time
    begun = clock()
    async with _asked([here, *others], trust) as asking:
        answered = await _first(asking, {here, *others})
        if answered and here not in answered:
            await asyncio.wait([asking[here]], timeout=max(_HERE_S, clock() - begun))
        trips = {address: _trip(task) for address, task in asking.items() if _answers(task)}
        if here in trips or not trips:
            return here if trips else None
        return min(trips, key=lambda address: trips[address])


@asynccontextmanager
async def _asked(
    addresses: Sequence[Address], trust: Trust | None
) -> AsyncIterator[dict[Address, asyncio.Task[float | None]]]:
    asking = {address: asyncio.create_task(round_trip(address, trust)) for address in addresses}
    try:
        yield asking
    finally:
        for task in asking.values():
            task.cancel()
        await asyncio.gather(*asking.values(), return_exceptions=True)


async def _first(asking: dict[Address, asyncio.Task[float | None]], of: set[Address]) -> set[Address]:
    """Wait until one has answered, or none will."""
    waiting = {asking[address] for address in of}
    while waiting:
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if answered := {address for address in of if _answers(asking[address])}:
            return answered
    return set()


def _answers(task: asyncio.Task[float | None]) -> bool:
    return task.done() and not task.cancelled() and task.result() is not None


def _trip(task: asyncio.Task[float | None]) -> float:
    return task.result() or 0.0
