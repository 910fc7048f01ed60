"""The emulated link against what plain ping, TCP and UDP see of it.

Limits that no load of the machine can break are narrow: nothing comes too soon, nothing faster than the line. The
others are wide, as the machine may be busy.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wan.emulator import AHEAD_S
from tests.wan.network import Link, Network
from tests.wan.traffic import flood, ping, tcp, udp

pytestmark = pytest.mark.wan

Wan = Callable[..., Link]
MEGABYTE = 1_000_000
SLACK_S = 4 * AHEAD_S


def _trip(link: Link, *, count: int = 20) -> float:
    return min(trip for trip in ping(link.client, link.server, count=count) if trip is not None)


@pytest.mark.parametrize("delay_ms", [0, 10, 50, 200])
def test_round_trip(wan: Wan, delay_ms: int) -> None:
    trip = _trip(wan(delay_ms=delay_ms))
    print(f"ping over {delay_ms} ms: {trip * 1000:.2f} ms")
    assert delay_ms / 1000 - SLACK_S <= trip <= delay_ms / 1000 * 1.2 + 0.010


@pytest.mark.parametrize("rates", [(2, 20), (20, 2), (10, 10), (100, 100)], ids=str)
def test_rate_each_way(wan: Wan, rates: tuple[int, int]) -> None:
    link = wan(delay_ms=20, rate_mbit=rates)
    for source, target, rate in ((link.client, link.server, rates[0]), (link.server, link.client, rates[1])):
        with tcp(source, target) as transfer:
            transfer.send(max(MEGABYTE, rate * MEGABYTE // 5))
            got = transfer.end()
        print(f"TCP over {rate} Mbit/s: {got.mbit_s:.2f} Mbit/s")
        # Bytes of the first read came before the watch was started: they count for little in so many.
        assert 0.6 * rate <= got.mbit_s <= 1.03 * rate


def test_the_line_itself_is_never_faster_than_its_rate(wan: Wan) -> None:
    link = wan(delay_ms=0, rate_mbit=10)
    before = link.counters().up
    with tcp(link.client, link.server) as transfer:
        transfer.send(2 * MEGABYTE)
        transfer.end()
    after = link.counters().up
    assert after.delivered_bytes * 8 <= 10e6 * (after.at_s - before.at_s + SLACK_S)


@pytest.mark.parametrize("loss", [0.01, 0.1])
def test_loss_share(wan: Wan, loss: float) -> None:
    link = wan(loss=(loss, 0), seed=7)
    came = udp(link.client, link.server, count=10_000, size=100)
    counters = link.counters()
    print(f"loss of {loss}: {counters.up.lost_packets} of {counters.up.offered_packets}")
    assert counters.up.offered_packets == 10_000
    assert came == counters.up.delivered_packets == 10_000 - counters.up.lost_packets
    assert 0.7 * loss <= counters.up.lost_packets / 10_000 <= 1.3 * loss
    assert counters.down.lost_packets == 0


def test_tcp_arrives_whole_over_loss_and_jitter(wan: Wan) -> None:
    link = wan(delay_ms=20, rate_mbit=20, loss=0.02, jitter_ms=5, reorder=True)
    with tcp(link.client, link.server) as transfer:
        transfer.send(2 * MEGABYTE)
        assert transfer.end().count == 2 * MEGABYTE
    assert link.counters().up.lost_packets > 0


def test_jitter_lengthens_some_trips(wan: Wan) -> None:
    link = wan(delay_ms=20, jitter_ms=(40, 0), seed=3)
    trips = [trip for trip in ping(link.client, link.server, count=30) if trip is not None]
    assert min(trips) >= 0.020 - SLACK_S
    assert max(trips) >= 0.045
    assert sorted(trips)[len(trips) // 2] >= 0.027


def test_a_full_queue_drops_at_its_tail(wan: Wan) -> None:
    link = wan(delay_ms=10, rate_mbit=1, queue_bytes=50_000)
    came = udp(link.client, link.server, count=200, size=1000)
    up = link.counters().up
    print(f"queue of 50 kB: peak {up.queue_peak_bytes}, {came} of 200 packets came")
    assert up.tail_dropped_packets == 200 - came
    assert 48_000 < up.queue_peak_bytes <= 50_000
    assert 50 <= came <= 80


def test_a_queue_is_waited_for(wan: Wan) -> None:
    """45 kB before it on a line of 1 Mbit/s: 360 ms."""
    link = wan(delay_ms=10, rate_mbit=1, queue_bytes=50_000)
    assert _trip(link, count=3) < 0.150
    begun = time.monotonic()
    flood(link.client, link.server, count=45, size=1000)
    assert ping(link.client, link.server) != [None]
    waited = time.monotonic() - begun
    print(f"ping behind 45 kB at 1 Mbit/s: {waited * 1000:.0f} ms")
    assert 0.370 - SLACK_S <= waited <= 0.600


def test_a_cut_stops_all_and_tcp_goes_on_after_it(wan: Wan) -> None:
    link = wan(delay_ms=10, rate_mbit=20)
    with tcp(link.client, link.server) as transfer:
        transfer.send(MEGABYTE)
        link.cut()
        at_cut = link.counters()
        assert ping(link.client, link.server, timeout_s=0.5) == [None]
        while_cut = link.counters()
        link.restore()
        transfer.send(MEGABYTE)
        assert transfer.end().count == 2 * MEGABYTE
    assert while_cut.up.delivered_packets == at_cut.up.delivered_packets
    assert while_cut.down.delivered_packets == at_cut.down.delivered_packets
    assert while_cut.up.cut_packets > 0
    assert while_cut.up.held_packets == while_cut.down.held_packets == 0


def test_a_cut_of_one_way_lets_the_other_through(wan: Wan) -> None:
    link = wan()
    link.cut(down=False)
    assert ping(link.server, link.client, timeout_s=0.2) == [None]
    counters = link.counters()
    assert counters.down.delivered_packets == 1
    assert counters.up.cut_packets == 1


def test_a_cut_for_some_time_ends_by_itself(wan: Wan) -> None:
    link = wan()
    link.cut(seconds=0.7)
    with tcp(link.client, link.server) as transfer:  # the second SYN comes after a second
        transfer.send(1000)
        assert transfer.end().count == 1000
    assert link.counters().up.cut_packets > 0


def test_a_link_becomes_another(wan: Wan) -> None:
    link = wan(delay_ms=10)
    link.reshape(delay_ms=100)
    assert 0.100 - SLACK_S <= _trip(link, count=5) <= 0.150


def test_each_pair_has_its_own_link_or_none(wan_network: Network) -> None:
    node, europe, asia = (wan_network.host(name) for name in ("node", "europe", "asia"))
    near = wan_network.connect(europe, node, delay_ms=20)
    far = wan_network.connect(asia, node, delay_ms=120)
    assert 0.020 - SLACK_S <= _trip(near, count=5) <= 0.050
    assert 0.120 - SLACK_S <= _trip(far, count=5) <= 0.170
    assert ping(europe, asia, timeout_s=0.2) == [None]
    near.cut()
    assert ping(europe, node, timeout_s=0.2) == [None]
    assert _trip(far, count=1) >= 0.120 - SLACK_S
    assert wan_network.usage().astray_packets == 1


def test_there_is_no_way_out(wan: Wan) -> None:
    link = wan()
    devices = link.client.call(Path("/proc/thread-self/net/dev").read_text).splitlines()[2:]
    assert {line.split(":")[0].strip() for line in devices} == {"lo", "wan0"}
    routes = link.client.call(Path("/proc/thread-self/net/route").read_text).splitlines()[1:]
    assert [(route.split()[0], route.split()[1]) for route in routes] == [("wan0", "00004D0A")]


def test_an_idle_link_sleeps(wan: Wan) -> None:
    link = wan(delay_ms=50, rate_mbit=10)
    before = link.network.usage()
    assert ping(link.client, link.server, count=1, timeout_s=1) != [None]
    link.cut()
    assert ping(link.client, link.server, count=1, timeout_s=2) == [None]
    after = link.network.usage()
    assert after.wakes - before.wakes < 20
