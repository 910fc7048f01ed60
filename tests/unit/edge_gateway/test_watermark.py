"""How much room must be free for new work."""

from pathlib import Path

import pytest

from edge_gateway.watermark import RETRY_S, Watermark
from shared.errors import DiskFullError

TIB = 1 << 40


@pytest.mark.parametrize(
    ("free", "size", "is_taken"),
    [(49, 1000, False), (50, 1000, True), ((2 << 30) - 1, TIB, False), (2 << 30, TIB, True)],
)
def test_a_share_of_the_disk_must_be_free_but_no_more_than_a_limit(free: int, size: int, is_taken: bool) -> None:
    mark = Watermark(Path("data"), 0.05, 2 << 30, disk=lambda _: (free, size))
    if is_taken:
        mark.check()
        return
    with pytest.raises(
        DiskFullError, match=f"{free} bytes left and takes no new work below {mark.mark_bytes}"
    ) as error:
        mark.check()
    assert (error.value.limit, error.value.retry_after_s) == ("disk_watermark", RETRY_S)


def test_a_share_of_nothing_takes_everything(tmp_path: Path) -> None:
    Watermark(tmp_path, 0.0, 2 << 30).check()
