import pytest

from edge_gateway.web.ranges import read_ranges


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-9", [(0, 10)]),
        ("bytes=90-", [(90, 100)]),
        ("bytes=-5", [(95, 100)]),
        ("bytes=-500", [(0, 100)]),
        ("bytes=50-5000", [(50, 100)]),
        ("BYTES= 1-2 , 90-", [(1, 3), (90, 100)]),
        ("bytes=5-9,0-4,7-20", [(0, 21)]),
        ("bytes=200-,0-0", [(0, 1)]),
        ("bytes=99-99", [(99, 100)]),
    ],
)
def test_ranges_are_read(header: str, wanted: list[tuple[int, int]]) -> None:
    assert read_ranges(header, 100) == wanted


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0", "bytes=100-200,300-"])
def test_nothing_is_left_of_ranges_beyond_the_end(header: str) -> None:
    assert read_ranges(header, 100) == []


NONE = ["", "bytes", "bytes=", "bytes=-", "bytes=5", "bytes=9-1", "bytes=a-b", "bytes=0-1,x", "items=0-1"]
ODD = ["bytes=\u0660-\u0669", "bytes=" + "9" * 40 + "-", "bytes=" + ",".join(f"{at}-{at}" for at in range(17))]


@pytest.mark.parametrize("header", [*NONE, *ODD])
def test_what_is_no_range_is_passed_over(header: str) -> None:
    assert read_ranges(header, 100) is None
