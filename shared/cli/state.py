"""How ``viseme dub`` finds what ``viseme up`` started, and the edge that was the nearest: small files."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.errors import InvalidInputError
from shared.rpc.address import Address, parse_address
from shared.rpc.channel import open_channel

DEFAULT_EDGE = "127.0.0.1:50051"
_SERVICE = "viseme.gateway.v1.JobService"
_CHECK_SECONDS = 1.0
_REMEMBERED_SECONDS = 3600.0
_REMEMBERED = 16
"""Lists of edges for which a choice is remembered."""


@contextmanager
def stated(folder: Path, addresses: Mapping[str, str]) -> Iterator[None]:
    """Say inside the block that parts run here."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "up.json"
    fresh = folder / f"up.{os.getpid()}.json"
    fresh.write_text(json.dumps({"pid": os.getpid(), "addresses": dict(addresses)}), encoding="utf-8")
    fresh.replace(file)
    try:
        yield
    finally:
        # A second `viseme up` may have replaced it.
        if _read(file).get("pid") == os.getpid():
            file.unlink(missing_ok=True)


def _read(file: Path) -> dict[str, object]:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


async def find_edge(folder: Path) -> str | None:
    """The address of an edge that runs on this machine and answers; None where there is none."""
    addresses = _read(folder / "up.json").get("addresses")
    stated_edge = addresses.get("rpc") if isinstance(addresses, dict) else None
    for text in dict.fromkeys((stated_edge, DEFAULT_EDGE)):
        if not isinstance(text, str):
            continue
        with contextlib.suppress(InvalidInputError):
            if await _answers(parse_address(text, field="edge")):
                return text
    return None


async def _answers(address: Address) -> bool:
    async with open_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=_SERVICE)
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=_CHECK_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def remember_edge(folder: Path, edges: Sequence[str], chosen: str) -> None:
    """Note which of some edges is used now; where it cannot be written, it is measured anew the next time."""
    file = folder / "edges.json"
    known = {name: one for name, one in _read(file).items() if name != _list_name(edges)}
    known[_list_name(edges)] = {"edge": chosen, "time": time.time()}
    newest = dict(list(known.items())[-_REMEMBERED:])
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"edges.{os.getpid()}.json"
        fresh.write_text(json.dumps(newest), encoding="utf-8")
        fresh.replace(file)


def remembered_edge(folder: Path, edges: Sequence[str]) -> str | None:
    """Which of some edges was used within the last hour; None where nobody knows."""
    one = _read(folder / "edges.json").get(_list_name(edges))
    if not isinstance(one, dict):
        return None
    chosen, at = one.get("edge"), one.get("time")
    is_fresh = isinstance(at, int | float) and 0 <= time.time() - at < _REMEMBERED_SECONDS
    return chosen if is_fresh and isinstance(chosen, str) else None


def _list_name(edges: Sequence[str]) -> str:
    return ",".join(sorted(edges))
