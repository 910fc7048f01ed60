import asyncio

import pytest

from inference_node.render.memo import Memo


async def test_a_value_is_made_once_however_many_ask() -> None:
    memo: Memo[str, str] = Memo(limit=100, size_of=len)
    made: list[str] = []
    go = asyncio.Event()

    async def make() -> str:
        made.append("x")
        await go.wait()
        return "value"

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(memo.get("key", make)) for _ in range(3)]
        group.create_task(asyncio.wait_for(asyncio.shield(asyncio.create_task(_set(go))), 5))
    assert {task.result() for task in asking} == {"value"}
    assert made == ["x"]
    assert await memo.get("key", make) == "value"


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_the_least_recently_used_is_dropped_and_sizes_add_up() -> None:
    memo: Memo[str, str] = Memo(limit=3, size_of=len)

    async def make() -> str:
        return "v"

    for key in ("a", "b", "c"):
        await memo.get(key, make)
    await memo.get("a", make)
    await memo.get("d", make)
    assert ["a" in memo, "b" in memo, "c" in memo, "d" in memo] == [True, False, True, True]
    assert memo.size == 3


async def test_one_who_gives_up_does_not_take_it_from_the_others() -> None:
    memo: Memo[str, str] = Memo(limit=100, size_of=len)
    go = asyncio.Event()

    async def make() -> str:
        await go.wait()
        return "value"

    impatient = asyncio.create_task(memo.get("key", make))
    patient = asyncio.create_task(memo.get("key", make))
    await asyncio.wait([impatient], timeout=0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    go.set()
    assert await patient == "value"


async def test_a_failure_is_told_and_not_kept() -> None:
    memo: Memo[str, str] = Memo(limit=100, size_of=len)

    async def fail() -> str:
        raise ValueError("no")

    async def make() -> str:
        return "value"

    with pytest.raises(ValueError, match="no"):
        await memo.get("key", fail)
    assert await memo.get("key", make) == "value"


def test_what_was_made_elsewhere_is_kept_and_counted_once() -> None:
    memo: Memo[str, str] = Memo(limit=5, size_of=len)
    memo.put("a", "aa")
    memo.put("a", "aaa")
    assert (memo.look("a"), memo.look("b"), memo.size) == ("aaa", None, 3)
    memo.put("b", "bb")
    assert memo.look("a") == "aaa"
    memo.put("c", "cc")
    assert (memo.look("a"), memo.look("b"), memo.look("c"), memo.size) == ("aaa", None, "cc", 5)


async def test_what_is_forgotten_is_made_again_and_takes_no_room() -> None:
    memo: Memo[str, str] = Memo(limit=100, size_of=len)
    for key in ("mine", "yours"):
        memo.put(key, key)
    memo.forget(lambda key: key == "mine")
    assert ("mine" in memo, "yours" in memo, memo.size) == (False, True, len("yours"))
