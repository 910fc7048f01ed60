import time

import pytest

from inference_node.triton.guests import GuestPatience, Guests
from shared.errors import DeadlineError, EngineUnavailableError


class Server:
    """Networks that load, die and hang."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.broken: set[str] = set()
        self.hung: set[str] = set()
        self.answered: dict[str, float] = {}
        self.loads: list[str] = []

    async def load(self, model: str) -> None:
        self.loads.append(model)
        self.hung.discard(model)
        if model in self.broken:
            raise EngineUnavailableError("broken")
        self.loaded.add(model)

    async def unload(self, model: str) -> None:
        if model not in self.loaded:
            raise EngineUnavailableError("unknown model")
        self.loaded.remove(model)

    async def ask(self, model: str, deadline_s: float) -> None:
        if model in self.hung:
            raise DeadlineError(f"longer than {deadline_s}")
        if model not in self.loaded:
            raise EngineUnavailableError("unknown model")
        self.answered[model] = time.monotonic()

    def answered_at(self, model: str) -> float:
        return self.answered.get(model, 0.0)


def guests(server: Server, reloads: list[str], *, backoff_s: float = 0.0) -> Guests:
    patience = GuestPatience(backoff_s=backoff_s, period_s=1000.0)
    return Guests(server, kill=lambda _: 0, patience=patience, on_reload=reloads.append)


async def test_guests_come_back_with_a_new_server_and_one_that_fails_harms_no_other() -> None:
    server, reloads = Server(), []
    all_ = guests(server, reloads)
    await all_.add("a")
    await all_.add("b")
    server.loaded.clear()
    server.broken = {"a"}
    all_.forget_server()
    await all_.tend(urgent=False)
    assert (server.loaded, reloads) == ({"b"}, ["b"])
    server.broken = set()
    await all_.tend(urgent=False)
    assert (server.loaded, reloads) == ({"a", "b"}, ["b", "a"])
    server.loads.clear()
    await all_.tend(urgent=True)
    assert server.loads == []


async def test_a_hung_guest_is_loaded_again_only_when_somebody_complains_or_it_is_time() -> None:
    server, reloads = Server(), []
    all_ = guests(server, reloads)
    await all_.add("a")
    server.hung = {"a"}
    await all_.tend(urgent=False)
    assert reloads == []
    await all_.tend(urgent=True)
    assert reloads == ["a"]
    await all_.drop("a")
    assert server.loaded == set()
    await all_.tend(urgent=True)
    assert server.loaded == set()


async def test_what_does_not_load_is_no_guest_and_is_tried_ever_more_seldom() -> None:
    server, reloads = Server(), []
    server.broken = {"a"}
    all_ = guests(server, reloads, backoff_s=1000.0)
    with pytest.raises(EngineUnavailableError):
        await all_.add("a")
    server.broken = set()
    await all_.tend(urgent=True)
    assert server.loaded == set()
    await all_.add("a")
    server.loaded.clear()
    server.broken = {"a"}
    await all_.tend(urgent=True)
    server.broken = set()
    await all_.tend(urgent=True)
    assert (server.loaded, reloads) == (set(), [])
