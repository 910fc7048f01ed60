"""One POST: TLS is verified, names that lead to this machine are not followed, silence has an end."""

import asyncio
import ipaddress
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_gateway.webhooks.hosts import Target, WebhookHosts
from edge_gateway.webhooks.post import Poster
from shared.errors import DeadlineError, UnavailableError

HERE = "127.0.0.1"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine, and its key, that nobody but itself vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = tmp_path / "both.pem"
    key, card = tmp_path / "key.pem", tmp_path / "card.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    more = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(card)]
    subprocess.run([*command, *more], check=True, capture_output=True)
    made.write_text(key.read_text() + card.read_text())
    return made


@asynccontextmanager
async def answering(text: bytes, certificate: Path | None = None) -> AsyncIterator[int]:
    """Somebody who answers so; gives the port."""
    tls = None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        assert await reader.readexactly(length) == b"body"
        writer.write(text)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HERE, 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


def target(url: str) -> Target:
    parts = url.partition("://")[2].partition("/")[0]
    return WebhookHosts([parts]).check(url)


async def test_tls_is_spoken_with_whom_somebody_vouches_for(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
    async with answering(answer, certificate) as port:
        with pytest.raises(UnavailableError, match="certificate verify failed"):
            await Poster(answer_s=5)(target(f"https://localhost:{port}/"), {}, b"body")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert (await Poster(answer_s=5)(target(f"https://localhost:{port}/"), {}, b"body")).status == 202
        with pytest.raises(UnavailableError, match="certificate verify failed"):
            await Poster(answer_s=5)(target(f"https://{HERE}:{port}/"), {}, b"body")


def other_names() -> list[str]:
    """Names of this machine that are neither ``localhost`` nor addresses."""

    def leads_here(name: str) -> bool:
        try:
            found = socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
        except socket.gaierror:
            return False
        return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)

    return list(filter(leads_here, (socket.gethostname(), "ip6-localhost", "ip6-loopback")))


@pytest.mark.skipif(not other_names(), reason="this machine has no other name that leads to its loopback")
async def test_a_name_that_leads_to_this_machine_is_not_followed() -> None:
    with pytest.raises(UnavailableError, match="leads to this machine"):
        await Poster(answer_s=5)(target(f"http://{other_names()[0]}:80/"), {}, b"body")


@pytest.mark.parametrize(
    "text",
    [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["nothing", "garbage", "endless head", "no end"],
)
async def test_what_is_no_answer_is_told_as_such(text: bytes) -> None:
    async with answering(text) as port:
        with pytest.raises(UnavailableError):
            await Poster(answer_s=5)(target(f"http://{HERE}:{port}/"), {}, b"body")


async def test_an_answer_may_tell_when_to_come_again() -> None:
    text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    async with answering(text) as port:
        answer = await Poster(answer_s=5)(target(f"http://{HERE}:{port}/"), {}, b"body")
    assert (answer.status, answer.retry_after_s) == (503, 7)


async def test_silence_has_an_end() -> None:
    with socket.create_server((HERE, 0)) as silent, pytest.raises(DeadlineError, match=r"within 0\.2 s"):
        await Poster(answer_s=0.2)(target(f"http://{HERE}:{silent.getsockname()[1]}/"), {}, b"body")
