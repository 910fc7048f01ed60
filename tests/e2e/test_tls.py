"""The real programs by TLS: a dub through it, certificates that are replaced meanwhile, and who is kept out."""

import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509

import viseme
from shared.errors import EdgeUnavailableError, InvalidInputError, PermissionDeniedError, UnavailableError
from shared.pb.viseme.inference.v1.render_pb2 import GetStatusRequest
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceStub
from shared.rpc.address import parse_address
from shared.rpc.channel import open_channel
from shared.rpc.status import from_rpc_error
from shared.rpc.tls import Trust
from tests.stack import Stack

pytestmark = pytest.mark.stack


def certs(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "shared.cli", "certs", *arguments], check=True, capture_output=True)


def issue(folder: Path, role: str, *more: str) -> Path:
    certs("issue", str(folder / "ca"), role, role, "--host", "127.0.0.1", "-o", str(folder / role), *more)
    return folder / role


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and the certificates of a node, an edge and a client."""
    made = tmp_path_factory.mktemp("certs")
    certs("init", str(made / "ca"))
    for role in ("node", "edge", "client"):
        issue(made, role)
    return made


@pytest.fixture(scope="module")
def closed(folder: Path) -> Iterator[Stack]:
    node, edge = folder / "node", folder / "edge"
    with Stack(
        node_flags=(
            *("--tls-certificate", str(node / "certificate.pem"), "--tls-key", str(node / "key.pem")),
            *("--peer-ca", str(node / "edges.pem")),
        ),
        edge_flags=(
            *("--tls-certificate", str(edge / "certificate.pem"), "--tls-key", str(edge / "key.pem")),
            *("--node-ca", str(edge / "nodes.pem")),
            *("--node-certificate", str(edge / "certificate.pem"), "--node-key", str(edge / "key.pem")),
            *("--node-poll-s", "0.5"),
        ),
    ) as stack:
        yield stack


async def ask_node(address: str, trust: Trust) -> None:
    async with open_channel(parse_address(f"https://{address}", field="node"), trust=trust) as channel:
        try:
            await RenderServiceStub(channel).GetStatus(GetStatusRequest(), timeout=10)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


def serial(address: str) -> int:
    host, _, port = address.removeprefix("https://").rpartition(":")
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port))).encode()).serial_number


def test_a_job_goes_through_tls_and_certificates_are_replaced_meanwhile(
    closed: Stack, folder: Path, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    ca = folder / "client" / "edges.pem"
    assert closed.edge.startswith("https://")
    environ = {**os.environ, "VISEME_CA": str(ca)}
    command = closed.command("dub", str(portrait), str(speech), "-o", str(tmp_path / "out.mp4"), "--json")
    before = {name: serial(closed.parts[name].ready.addresses["rpc"]) for name in ("edge", "node")}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        next(line for line in running.stdout if "progress" in line)
        for role in ("edge", "node"):
            issue(folder, role, "--force")
        for name in ("edge", "node"):
            assert serial(closed.parts[name].ready.addresses["rpc"]) != before[name], name
        web = closed.parts["edge"].ready.addresses["web"]
        assert serial(web) == serial(closed.edge)
        known = ssl.create_default_context(cafile=str(ca))
        with urllib.request.urlopen(f"{web}/healthz", context=known) as answer:  # noqa: S310 - our own
            assert json.load(answer)["status"] == "serving"
        running.stdout.read()
    assert running.returncode == 0
    assert (tmp_path / "out.mp4").stat().st_size > 0
    # What the edge shows to nodes is the new one by now, or a node that starts anew would not take it for long.
    closed.kill("node")
    closed.start("node")
    done = subprocess.run(
        closed.command("dub", str(portrait), str(speech), "-o", str(tmp_path / "again.mp4")), env=environ, check=False
    )
    assert done.returncode == 0
    assert "connections show new certificates" in closed.log("edge")


async def test_whoever_is_no_edge_is_kept_out_of_the_node(closed: Stack, folder: Path) -> None:
    address = closed.parts["node"].ready.addresses["rpc"].removeprefix("https://")
    vouches = folder / "edge" / "nodes.pem"
    await ask_node(
        address,
        Trust(authority=vouches, certificate=folder / "edge/certificate.pem", key=folder / "edge/key.pem"),
    )
    client = Trust(authority=vouches, certificate=folder / "client/certificate.pem", key=folder / "client/key.pem")
    with pytest.raises((UnavailableError, PermissionDeniedError)):
        await ask_node(address, client)
    with pytest.raises(UnavailableError):
        await ask_node(address, Trust(authority=vouches))


async def test_a_client_takes_no_strange_edge_and_shows_no_key_in_the_clear(closed: Stack, folder: Path) -> None:
    patience = viseme.Patience(connect_s=1)
    async with viseme.connect(closed.edge, ca=folder / "client" / "edges.pem") as edge:
        assert (await edge.capabilities()).engines
    async with viseme.connect(closed.edge, patience=patience) as edge:
        with pytest.raises(EdgeUnavailableError, match="certificate"):
            await edge.capabilities()
    async with viseme.connect(closed.edge.removeprefix("https://"), patience=patience) as edge:
        with pytest.raises(EdgeUnavailableError, match="https://"):
            await edge.capabilities()
    with pytest.raises(InvalidInputError, match="in the clear"):
        viseme.connect("edge.example", key="vis_x")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        viseme.connect(closed.edge, ca=folder / "none.pem")


def test_when_certificates_run_out_is_to_be_scraped(closed: Stack) -> None:
    for name, uses in (("edge", ("server", "node")), ("node", ("server",))):
        with urllib.request.urlopen(f"http://{closed.parts[name].ready.addresses['metrics']}/metrics") as answer:
            told = answer.read().decode()
        for use in uses:
            assert f"viseme_{name}_tls_ends_seconds{{" in told
            assert f'use="{use}"' in told
