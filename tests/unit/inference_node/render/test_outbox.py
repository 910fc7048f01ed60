import asyncio

import pytest

from inference_node.render.outbox import Outbox


async def test_replies_come_in_order_and_then_the_end() -> None:
    outbox: Outbox[int] = Outbox(limit=2)
    outbox.put(1)
    outbox.put(2)
    outbox.close()
    outbox.put(3)
    assert [await outbox.get(), await outbox.get(), await outbox.get()] == [1, 2, None]


async def test_an_error_comes_before_what_waits() -> None:
    outbox: Outbox[int] = Outbox(limit=2)
    outbox.put(1)
    outbox.close(ValueError("no"))
    outbox.close()
    with pytest.raises(ValueError, match="no"):
        await outbox.get()


async def test_who_waits_for_room_goes_on_once_something_is_taken() -> None:
    outbox: Outbox[int] = Outbox(limit=1)
    await outbox.room()
    outbox.put(1)
    waiting = asyncio.create_task(outbox.room())
    await asyncio.wait([waiting], timeout=0)
    assert not waiting.done()
    assert await outbox.get() == 1
    await asyncio.wait_for(waiting, 5)


async def test_who_waits_for_a_reply_is_woken() -> None:
    outbox: Outbox[int] = Outbox(limit=1)
    waiting = asyncio.create_task(outbox.get())
    await asyncio.wait([waiting], timeout=0)
    outbox.put(1)
    assert await asyncio.wait_for(waiting, 5) == 1
