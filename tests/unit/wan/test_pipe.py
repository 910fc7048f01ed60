"""What an emulated link does to packets, on a clock that the test holds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan.network import shapes
from tests.wan.pipe import Pipe, Shape

PACKET = bytes(1250)  # 10,000 bits: 1 ms at 10 Mbit/s
MBIT = 1e6


def _pipe(shape: Shape) -> Pipe:
    return Pipe(shape, seed=1)


def _arrivals(pipe: Pipe) -> list[tuple[float, bytes]]:
    arrived: list[tuple[float, bytes]] = []
    while (due := pipe.due()) < math.inf:
        arrived += [(due, packet) for packet in pipe.take(due)]
    return arrived


def test_a_packet_arrives_after_its_transmission_and_the_delay() -> None:
    pipe = _pipe(Shape(delay_s=0.025, rate_bit_s=10 * MBIT))
    pipe.offer(5.0, PACKET)
    assert pipe.due() == pytest.approx(5.026)
    assert pipe.take(5.0259) == []
    assert pipe.take(5.0261) == [PACKET]


def test_packets_follow_each_other_at_the_rate() -> None:
    pipe = _pipe(Shape(delay_s=1.0, rate_bit_s=10 * MBIT))
    for _ in range(100):
        pipe.offer(0.0, PACKET)
    times = [time for time, _ in _arrivals(pipe)]
    assert times == pytest.approx([1.0 + (number + 1) / 1000 for number in range(100)])


def test_an_idle_line_saves_nothing_up() -> None:
    pipe = _pipe(Shape(rate_bit_s=10 * MBIT))
    pipe.offer(0.0, PACKET)
    pipe.offer(10.0, PACKET)
    pipe.offer(10.0, PACKET)
    assert [time for time, _ in _arrivals(pipe)] == pytest.approx([0.001, 10.001, 10.002])


def test_a_full_queue_drops_at_its_tail() -> None:
    pipe = _pipe(Shape(rate_bit_s=10 * MBIT, queue_bytes=10 * len(PACKET)))
    packets = [bytes([number]) * len(PACKET) for number in range(30)]
    for packet in packets:
        pipe.offer(0.0, packet)
    assert [packet for _, packet in _arrivals(pipe)] == packets[:10]
    counters = pipe.counters(1.0)
    assert counters.tail_dropped_packets == 20
    assert counters.queue_peak_bytes == 10 * len(PACKET)


def test_a_queue_has_room_again_as_it_drains() -> None:
    pipe = _pipe(Shape(rate_bit_s=10 * MBIT, queue_bytes=10 * len(PACKET)))
    for _ in range(10):
        pipe.offer(0.0, PACKET)
    for _ in range(10):
        pipe.offer(0.0051, PACKET)
    assert pipe.counters(0.01).tail_dropped_packets == 5


def test_a_line_without_a_rate_holds_no_more_than_its_bytes() -> None:
    pipe = _pipe(Shape(delay_s=1.0, queue_bytes=10 * len(PACKET)))
    for _ in range(30):
        pipe.offer(0.0, PACKET)
    assert pipe.counters(0.0).held_packets == 10
    pipe.take(1.0)
    pipe.offer(1.0, PACKET)
    assert pipe.counters(1.0).held_packets == 1


def test_loss_is_a_share_and_the_same_for_the_same_seed() -> None:
    def arrived() -> list[bytes]:
        pipe = _pipe(Shape(loss=0.1))
        for number in range(10_000):
            pipe.offer(number * 0.001, number.to_bytes(4, "big"))
        return pipe.take(math.inf)

    first = arrived()
    assert 8_800 < len(first) < 9_200
    assert arrived() == first


def test_what_is_lost_took_the_line_all_the_same() -> None:
    pipe = _pipe(Shape(rate_bit_s=10 * MBIT, loss=0.5))
    for number in range(100):
        pipe.offer(0.0, bytes([number]) * len(PACKET))
    for time, packet in _arrivals(pipe):
        assert time == pytest.approx((packet[0] + 1) / 1000)


def test_jitter_keeps_the_order_unless_asked() -> None:
    def order(*, reorder: bool) -> list[int]:
        pipe = _pipe(Shape(delay_s=0.1, jitter_s=0.05, reorder=reorder))
        for number in range(100):
            pipe.offer(number * 0.001, bytes([number]))
        arrived = _arrivals(pipe)
        assert all(0.1 <= time - packet[0] * 0.001 <= 0.1501 for time, packet in arrived)
        return [packet[0] for _, packet in arrived]

    assert order(reorder=False) == list(range(100))
    assert order(reorder=True) != list(range(100))
    assert sorted(order(reorder=True)) == list(range(100))


def test_a_cut_loses_what_is_under_way_and_what_comes() -> None:
    pipe = _pipe(Shape(delay_s=1.0, rate_bit_s=10 * MBIT))
    pipe.offer(0.0, PACKET)
    pipe.cut(0.5)
    pipe.offer(0.6, PACKET)
    assert pipe.due() == math.inf
    pipe.restore()
    pipe.offer(0.7, PACKET)
    assert pipe.due() == pytest.approx(1.701)
    assert pipe.counters(0.7).cut_packets == 2


def test_a_cut_for_some_time_ends_by_itself() -> None:
    pipe = _pipe(Shape())
    pipe.cut(1.0, until=6.0)
    pipe.offer(5.9, PACKET)
    pipe.offer(6.0, PACKET)
    assert pipe.take(6.0) == [PACKET]


def test_a_new_shape_is_for_packets_to_come() -> None:
    pipe = _pipe(Shape(delay_s=1.0))
    pipe.offer(0.0, b"before")
    pipe.reshape(Shape(delay_s=2.0))
    pipe.offer(0.0, b"after")
    assert _arrivals(pipe) == [(1.0, b"before"), (2.0, b"after")]


def test_due_soon_goes_along() -> None:
    pipe = _pipe(Shape(delay_s=1.0))
    for time in (0.0, 0.0001, 0.001):
        pipe.offer(time, PACKET)
    assert len(pipe.take(1.0, ahead_s=0.0002)) == 2


@given(
    packets=st.lists(
        st.tuples(st.floats(min_value=0, max_value=0.01), st.integers(min_value=20, max_value=1500)), max_size=200
    ),
    rate=st.none() | st.floats(min_value=1e5, max_value=1e8),
    loss=st.floats(min_value=0, max_value=1),
    jitter=st.floats(min_value=0, max_value=0.1),
    queue=st.integers(min_value=1, max_value=50_000),
    cut_at=st.integers(min_value=0, max_value=200),
)
def test_every_packet_is_accounted_for(
    packets: list[tuple[float, int]], rate: float | None, loss: float, jitter: float, queue: int, cut_at: int
) -> None:
    pipe = _pipe(Shape(delay_s=0.01, rate_bit_s=rate, loss=loss, jitter_s=jitter, queue_bytes=queue))
    now = 0.0
    last = 0.0
    for number, (pause, size) in enumerate(packets):
        now += pause
        if number == cut_at:
            pipe.cut(now, until=now + 0.02)
        pipe.offer(now, bytes(size))
        pipe.take(now)
        assert pipe.due() > now
        held = pipe.counters(now)
        line_bytes = 0 if rate is None else (0.01 + jitter) * rate / 8 + 2 * 1500
        assert pipe._held_bytes <= queue + line_bytes
        assert held.queue_peak_bytes <= max(queue, 0)
    for time, _ in _arrivals(pipe):
        assert time >= last
        last = time
    done = pipe.counters(now)
    assert done.held_packets == pipe._held_bytes == 0
    assert done.offered_packets == len(packets)
    assert done.offered_packets == (
        done.delivered_packets + done.lost_packets + done.tail_dropped_packets + done.cut_packets
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"delay_s": -1},
        {"delay_s": math.nan},
        {"jitter_s": -0.1},
        {"rate_bit_s": 0},
        {"rate_bit_s": math.inf},
        {"loss": 1.1},
        {"loss": -0.1},
        {"queue_bytes": 0},
    ],
    ids=str,
)
def test_a_link_that_cannot_be_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Shape(**bad)  # type: ignore[arg-type]  # the case names its one field


def test_a_round_trip_is_shared_and_a_queue_is_time_of_the_line() -> None:
    up, down = shapes(delay_ms=50, rate_mbit=(10, 100), loss=(0.01, 0))
    assert up == Shape(delay_s=0.025, rate_bit_s=10e6, loss=0.01, queue_bytes=125_000)
    assert down == Shape(delay_s=0.025, rate_bit_s=100e6, queue_bytes=1_250_000)
    assert shapes(rate_mbit=8, queue_ms=(20, 40))[1].queue_bytes == 40_000
    assert shapes(rate_mbit=0.1)[0].queue_bytes == 16 * 1500


def test_a_queue_is_told_once() -> None:
    with pytest.raises(ValueError, match="queue_ms"):
        shapes(rate_mbit=1, queue_ms=1, queue_bytes=1)
    with pytest.raises(ValueError, match="queue_ms"):
        shapes(queue_ms=1)
