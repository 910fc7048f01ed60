import asyncio
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from inference_node.render.queue import FairQueue


@dataclass(frozen=True)
class Order:
    owner: str
    number: int


def fill(queue: FairQueue[Order], *orders: Order) -> list[bool]:
    return [queue.offer(order) for order in orders]


async def drain(queue: FairQueue[Order]) -> list[Order]:
    return [await queue.take() for _ in range(len(queue))]


async def test_owners_take_turns_however_much_each_has() -> None:
    queue: FairQueue[Order] = FairQueue(limit=10)
    fill(queue, *(Order("long", number) for number in range(4)), Order("short", 0), Order("late", 0))
    taken = await drain(queue)
    assert [order.owner for order in taken] == ["long", "short", "late", "long", "long", "long"]


async def test_a_full_queue_refuses_and_keeps_what_it_has() -> None:
    queue: FairQueue[Order] = FairQueue(limit=2)
    assert fill(queue, Order("a", 0), Order("b", 0), Order("c", 0)) == [True, True, False]
    assert len(queue) == 2


async def test_a_dropped_owner_leaves_room() -> None:
    queue: FairQueue[Order] = FairQueue(limit=3)
    fill(queue, Order("a", 0), Order("a", 1), Order("b", 0))
    assert queue.drop("a") == 2
    assert queue.drop("a") == 0
    assert await drain(queue) == [Order("b", 0)]


async def test_who_waits_is_woken() -> None:
    queue: FairQueue[Order] = FairQueue(limit=3)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(queue.take()) for _ in range(2)]
        fill(queue, Order("a", 0), Order("b", 1))
    assert {task.result().owner for task in waiting} == {"a", "b"}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_ahead_says_how_many_are_taken_before(owners: list[str]) -> None:
    async def check() -> None:
        queue: FairQueue[Order] = FairQueue(limit=12)
        orders = [Order(owner, number) for number, owner in enumerate(owners)]
        fill(queue, *orders)
        told = {order: queue.ahead(order) for order in orders}
        taken = await drain(queue)
        assert told == {order: place for place, order in enumerate(taken)}

    asyncio.run(check())
