import pytest

from shared.cli.rate import read_rate
from shared.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "rate"),
    [("", 0), ("1000", 1000), ("500K", 500 << 10), ("2M", 2 << 20), ("1.5m", 1.5 * (1 << 20)), ("2MiB/s", 2 << 20)],
)
def test_rates_are_read_as_people_write_them(text: str, rate: float) -> None:
    assert read_rate(text) == rate


@pytest.mark.parametrize("text", ["fast", "-1", "0", "2T", "K", "1e9", "nan"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_rate(text)
    assert caught.value.field == "limit-rate"
