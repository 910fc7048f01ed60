"""The edges that an operator names."""

import json
from pathlib import Path

import pytest

from edge_gateway.identity import Identity
from edge_gateway.neighbours import Neighbours
from edge_gateway.peers import Peer, Peers
from shared.errors import InvalidInputError
from shared.rpc.address import Address

TOML = """
[[edges]]
name = "paris"
region = "eu"
address = "paris.example.org:50051"
web = "https://paris.example.org/"

[[edges]]
name = "tokyo"
region = "asia"
address = "tokyo.example.org:50051"
"""
PARIS = Peer(name="paris", region="eu", address="paris.example.org:50051", web="https://paris.example.org")
TOKYO = Peer(name="tokyo", region="asia", address="tokyo.example.org:50051")


def at(name: str, region: str = "") -> Identity:
    return Identity(version="0", name=name, region=region, address=lambda: "0.0.0.0:50051", engines=tuple)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "edges.toml"
    file.write_text(TOML)
    return file


async def test_edges_come_from_toml_and_from_json(file: Path, tmp_path: Path) -> None:
    listed = tmp_path / "edges.json"
    listed.write_text(json.dumps([peer.model_dump() for peer in (PARIS, TOKYO)]))
    assert await Peers(str(file)).all() == await Peers(str(listed)).all() == (PARIS, TOKYO)
    assert await Peers("").all() == ()


async def test_an_edge_comes_first_as_the_list_says_that_clients_reach_it(file: Path) -> None:
    peers = Peers(str(file))
    assert await Neighbours(at("tokyo", "asia-east"), peers).edges() == [
        TOKYO.model_copy(update={"region": "asia-east"}),
        PARIS,
    ]
    first, *others = await Neighbours(at("lyon"), peers).edges()
    assert (first.name, first.address, first.web) == ("lyon", "0.0.0.0:50051", "")
    assert others == [PARIS, TOKYO]


async def test_a_list_that_changes_is_read_again_and_a_broken_one_is_not_taken(file: Path) -> None:
    peers = Peers(str(file))
    replace(file, TOML.replace("tokyo", "osaka"))
    assert [peer.name for peer in await peers.all()] == ["paris", "osaka"]
    replace(file, "[[edges]")
    assert [peer.name for peer in await peers.all()] == ["paris", "osaka"]
    file.unlink()
    assert [peer.name for peer in await peers.all()] == ["paris", "osaka"]
    replace(file, TOML)
    assert await peers.all() == (PARIS, TOKYO)


def replace(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("edges = 3", "write a list `edges`"),
        ('[[edges]]\nname = "a"', "0.address Field required"),
        ('[[edges]]\nname = "a"\naddress = "a"', "has no port"),
        ('[[edges]]\nname = "a"\naddress = "a:1"\nweb = "a.example.org"', "is no page"),
        ('[[edges]]\nname = "a"\naddress = "a:1"\nurl = "a"', "0.url"),
        ('[[edges]]\nname = "a"\naddress = "a:1"\n[[edges]]\nname = "a"\naddress = "b:1"', "two edges have the name a"),
        ("[[edges]", "edges.toml"),
    ],
)
def test_a_list_that_is_not_right_is_refused_at_the_start(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(InvalidInputError, match=words) as caught:
        Peers(str(file))
    assert caught.value.field == "peers"


def test_a_list_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="none"):
        Peers(str(tmp_path / "none.toml"))


async def test_a_name_in_dns_stands_for_edges_and_is_asked_again_after_a_while() -> None:
    now, asked, hosts = 0.0, [], ["10.0.0.1", "::2"]

    async def resolve(name: Address) -> list[str]:
        asked.append(str(name))
        if not hosts:
            raise InvalidInputError("no such name", field="peers")
        return list(hosts)

    peers = Peers("dns:edges.example.org:50051", resolve=resolve, clock=lambda: now)
    for _ in range(3):
        assert [peer.address for peer in await peers.all()] == ["10.0.0.1:50051", "[::2]:50051"]
    assert asked == ["edges.example.org:50051"]
    hosts.clear()
    now = 11.0
    assert len(await peers.all()) == 2
    assert len(asked) == 2


async def test_the_systems_resolver_is_asked() -> None:
    assert "127.0.0.1:7" in [peer.address for peer in await Peers("dns:localhost:7").all()]
