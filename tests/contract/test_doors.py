"""TLS on real sockets: who gets in, who does not, and files that are replaced meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from edge_gateway.nodes import GrpcNode
from shared.errors import InternalError, InvalidInputError, PermissionDeniedError
from shared.rpc.address import Address, parse_address, parse_listen
from shared.rpc.channel import open_channel
from shared.rpc.server import RpcServer
from shared.rpc.status import from_rpc_error
from shared.rpc.tls import Door, Trust
from shared.tls import authority
from shared.tls.authority import issue, make_authority
from shared.tls.certificate import Role
from shared.tls.files import TlsFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_authority(tmp_path / "ca")
    issue(tmp_path / "ca", Role.NODE, "node", ["127.0.0.1"], output=tmp_path / "node", days=9)
    issue(tmp_path / "ca", Role.EDGE, "edge", ["127.0.0.1"], output=tmp_path / "edge", days=9)
    issue(tmp_path / "ca", Role.CLIENT, "anna", [], output=tmp_path / "anna", days=9)
    return tmp_path


def files_of(owner: Path, vouches: Path | None, **more: Any) -> TlsFiles:
    return TlsFiles(owner / "certificate.pem", owner / "key.pem", vouches, field="tls_certificate", **more)


def trust(owner: Path | None, vouches: Path) -> Trust:
    if owner is None:
        return Trust(authority=vouches)
    return Trust(authority=vouches, certificate=owner / "certificate.pem", key=owner / "key.pem")


@asynccontextmanager
async def node(files: TlsFiles) -> AsyncIterator[Address]:
    rpc = RpcServer(parse_listen("127.0.0.1:0"), services=[], grace_s=0, door=Door(files=files, role="edge"))
    async with rpc.serving() as address:
        yield address


async def ask(address: Address, how: Trust | None) -> str:
    """ "" where the call succeeded, else what the caller was told."""
    address = replace(address, is_encrypted=how is not None)
    async with open_channel(address, own_connection=True, trust=how) as channel:
        try:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            told = from_rpc_error(error)
            return f"{told.reason}: {told}"
    return ""


async def test_edge_and_node_of_one_authority_understand_each_other(folder: Path) -> None:
    async with node(files_of(folder / "node", folder / "node" / "edges.pem")) as address:
        assert not await ask(address, trust(folder / "edge", folder / "edge" / "nodes.pem"))


async def test_strangers_are_not_let_in(folder: Path) -> None:
    make_authority(folder / "other")
    issue(folder / "other", Role.EDGE, "edge", ["127.0.0.1"], output=folder / "stranger", days=9)
    nodes = folder / "edge" / "nodes.pem"
    async with node(files_of(folder / "node", folder / "node" / "edges.pem")) as address:
        for how in (None, trust(None, nodes), trust(folder / "stranger", nodes), trust(folder / "anna", nodes)):
            assert (await ask(address, how)).startswith("edge_unavailable"), how
        assert not await ask(address, trust(folder / "edge", nodes))


async def test_another_role_that_an_operators_own_authority_vouches_for_is_told_its_role(folder: Path) -> None:
    both = folder / "both.pem"
    both.write_bytes((folder / "edge" / "clients.pem").read_bytes() + (folder / "node" / "edges.pem").read_bytes())
    async with node(files_of(folder / "node", both)) as address:
        told = await ask(address, trust(folder / "anna", folder / "edge" / "nodes.pem"))
        assert told.startswith(PermissionDeniedError.reason)
        assert "'anna' has the role client" in told
        assert "for the role edge" in told


async def test_edge_takes_neither_an_edge_for_a_node_nor_a_node_of_another_name(folder: Path) -> None:
    issue(folder / "ca", Role.NODE, "far", ["gpu.example"], output=folder / "far", days=9)
    how = trust(folder / "edge", folder / "edge" / "nodes.pem")
    for owner in ("edge", "far"):
        async with node(files_of(folder / owner, folder / "node" / "edges.pem")) as address:
            assert (await ask(address, how)).startswith("edge_unavailable"), owner


async def test_certificate_that_has_run_out_is_not_let_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Earlier(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Earlier":  # type: ignore[override]
            return super().now(tz) - timedelta(days=30)

    with monkeypatch.context() as patched:
        patched.setattr(authority, "datetime", Earlier)
        issue(folder / "ca", Role.EDGE, "old", ["127.0.0.1"], output=folder / "old", days=9)
    async with node(files_of(folder / "node", folder / "node" / "edges.pem")) as address:
        how = trust(folder / "old", folder / "edge" / "nodes.pem")
        assert (await ask(address, how)).startswith("edge_unavailable")
    with pytest.raises(InvalidInputError, match=f"ran out on {datetime.now(UTC) - timedelta(days=21):%F}"):
        files_of(folder / "old", None)


async def test_new_files_count_from_the_next_handshake_and_streams_go_on(folder: Path) -> None:
    nodes = folder / "edge" / "nodes.pem"
    old = nodes.read_bytes()
    async with node(files_of(folder / "node", folder / "node" / "edges.pem")) as address:
        encrypted = replace(address, is_encrypted=True)
        channel = open_channel(encrypted, own_connection=True, trust=trust(folder / "edge", nodes))
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        # Another authority: who trusts the old one alone now takes the node no more, so the new file is in use.
        make_authority(folder / "new")
        issue(folder / "new", Role.NODE, "node", ["127.0.0.1"], output=folder / "node", days=9, force=True)
        (folder / "node" / "edges.pem").write_bytes((folder / "anna" / "edges.pem").read_bytes())
        (folder / "old.pem").write_bytes(old)
        assert await ask(address, trust(folder / "edge", folder / "old.pem"))
        assert not await ask(address, trust(folder / "edge", folder / "new" / "node-authority.pem"))
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert not watching.done()
        watching.cancel()
        await channel.close()


@pytest.mark.parametrize("spoil", ["certificate.pem", "key.pem"])
async def test_broken_new_file_keeps_the_old_one_and_is_told_once(folder: Path, spoil: str) -> None:
    faults: list[int] = []
    files = files_of(folder / "node", folder / "node" / "edges.pem", on_fault=lambda: faults.append(1))
    async with node(files) as address:
        (folder / "node" / spoil).write_text("not a certificate")
        for _ in range(2):
            assert not await ask(address, trust(folder / "edge", folder / "edge" / "nodes.pem"))
    assert len(faults) == 1


async def test_caller_by_tls_at_a_port_without_is_told_so(folder: Path) -> None:
    rpc = RpcServer(parse_listen("127.0.0.1:0"), services=[], grace_s=0)
    async with rpc.serving() as address:
        assert "WRONG_VERSION_NUMBER" in await ask(address, trust(None, folder / "edge" / "nodes.pem"))


def test_certificate_without_its_key_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInputError, match="both or neither"):
        TlsFiles.of(folder / "node" / "certificate.pem", None, None, field="tls_key")
    with pytest.raises(InvalidInputError, match="both or neither"):
        open_channel(parse_address("https://127.0.0.1:1", field="node"), trust=Trust(certificate=folder / "x"))


@pytest.mark.parametrize("spoil", ["certificate.pem", "key.pem", "nodes.pem"])
async def test_broken_new_file_of_an_edge_leaves_its_connection_to_the_node_as_it_is(folder: Path, spoil: str) -> None:
    how = trust(folder / "edge", folder / "edge" / "nodes.pem")
    async with node(files_of(folder / "node", folder / "node" / "edges.pem")) as address:
        at = replace(address, is_encrypted=True)
        async with GrpcNode.open(at, trust=how, on_up=lambda _: None, on_down=lambda _: None) as asked:
            for text in ("", "no certificate"):
                if text:
                    (folder / "edge" / spoil).write_text(text)
                # It answers, and it is no node.
                with pytest.raises(InternalError, match="does not know this call"):
                    await asked.status()
                asked.renew()


@pytest.mark.parametrize("spoil", ["certificate.pem", "key.pem", "nodes.pem"])
def test_file_that_is_no_pem_is_told_before_anybody_is_called(folder: Path, spoil: str) -> None:
    (folder / "edge" / spoil).write_text("no certificate")
    with pytest.raises(InvalidInputError, match="in PEM"):
        trust(folder / "edge", folder / "edge" / "nodes.pem").credentials()


def test_key_of_another_certificate_is_told(folder: Path) -> None:
    how = Trust(certificate=folder / "edge" / "certificate.pem", key=folder / "anna" / "key.pem")
    with pytest.raises(InvalidInputError, match="belong together"):
        how.credentials()
