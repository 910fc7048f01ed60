"""How long jobs wait for room on a disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_gateway.jobs.disk_wait import DiskWait
from shared.errors import DiskFullError

FULL = DiskFullError("the edge's disk has no room for x; free some and try again", limit="disk")


class Machine:
    """A disk and a clock: each look at the disk takes so many seconds."""

    def __init__(self, free: list[int], look_s: float) -> None:
        self._free: Iterator[int] = iter(free)
        self._look_s = look_s
        self.now = 50.0

    def free(self, path: Path) -> int:
        del path
        self.now += self._look_s
        return next(self._free)

    def clock(self) -> float:
        return self.now


async def test_a_job_waits_until_there_is_more_room_than_before(tmp_path: Path) -> None:
    machine = Machine([100, 3 << 20], look_s=0.5)
    wait = DiskWait(tmp_path, 600.0, free=machine.free, clock=machine.clock)
    notice = wait.begin("j", FULL)
    assert notice.reason == "disk_full"
    assert "for 600 s at most" in notice.message
    await wait.until_room("j")
    assert next(machine._free, None) is None


async def test_it_tries_again_also_where_no_room_is_seen_and_gives_up_after_all(tmp_path: Path) -> None:
    machine = Machine([0] * 40, look_s=61.0)
    wait = DiskWait(tmp_path, 130.0, free=machine.free, clock=machine.clock)
    for _ in range(2):
        wait.begin("j", FULL)
        await wait.until_room("j")
    with pytest.raises(DiskFullError, match="given up after 244 s"):
        wait.begin("j", FULL)
    assert wait.begin("another", FULL).reason == "disk_full"
    wait.forget("j")
    wait.begin("j", FULL)


async def test_without_patience_a_job_fails_at_once_with_the_words_of_the_error(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError) as caught:
        DiskWait(tmp_path, 0.0).begin("j", FULL)
    assert caught.value.message == FULL.message
