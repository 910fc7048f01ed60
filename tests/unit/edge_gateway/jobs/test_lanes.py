"""The lanes in which jobs run, shared by tenants."""

from edge_gateway.jobs.lanes import Lanes


def nothing() -> None:
    pass


def test_no_more_run_than_there_are_lanes_and_whoever_has_the_fewest_goes_first() -> None:
    woken: list[str] = []
    lanes = Lanes(2)
    busy = lanes.join(lambda: 0, lambda: woken.append("busy"))
    late = lanes.join(lambda: 0, lambda: woken.append("late"))
    assert (busy.take(), busy.take(), busy.take(), late.take()) == (True, True, False, False)
    busy.give()
    assert woken == ["late"]
    assert not busy.take(), "the other waits and has none"
    assert late.take()
    late.rest()
    late.give()
    assert woken == ["late", "busy"]
    assert busy.take()


def test_a_tenant_at_its_own_limit_holds_nobody_up() -> None:
    lanes = Lanes(2)
    one, other = lanes.join(lambda: 1, nothing), lanes.join(lambda: 0, nothing)
    assert (one.take(), one.take(), other.take(), other.take()) == (True, False, True, False)
    one.give()
    assert other.take()
