"""One HTTP POST to an address that was looked at before: asyncio's own streams, and the parser that serves our pages.

A client library would resolve names by itself, follow redirects, keep connections and read bodies; all that a webhook
needs is a status, from exactly the address that its host's name may lead to.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httptools

from edge_gateway.webhooks.hosts import Target, may_reach
from shared.errors import DeadlineError, UnavailableError

_ANSWER_BYTES: Final = 64 << 10
_READ_BYTES: Final = 4 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody answered."""

    status: int
    retry_after_s: float | None = None


class Poster:
    """Posts.

    Args:
        answer_s: Seconds from the look at the name to the end of the answer.
    """

    def __init__(self, *, answer_s: float) -> None:
        self._answer_s = answer_s
        self._tls = ssl.create_default_context()

    async def __call__(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post once. What follows the head of the answer is read up to a bound and thrown away.

        Raises:
            UnavailableError: nobody is there, or no answer came.
            DeadlineError: it took too long.
        """
        response = _Response()
        try:
            async with asyncio.timeout(self._answer_s):
                reader, writer = await self._connect(target)
                try:
                    writer.write(_request(target, headers, body))
                    await response.read(reader)
                finally:
                    writer.transport.abort()
        except TimeoutError:
            if response.answer is None:
                message = f"{target.authority} did not answer within {self._answer_s:g} s"
                raise DeadlineError(message) from None
        except (OSError, httptools.HttpParserError) as error:
            if response.answer is None:
                raise UnavailableError(f"{target.authority}: {_words(error)}") from error
        if response.answer is None:
            raise UnavailableError(f"{target.authority} gave no answer")
        return response.answer

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        addresses = dict.fromkeys(str(address[0]) for *_, address in found)
        allowed = [address for address in addresses if may_reach(target, address)]
        refused: OSError = OSError("its name leads to this machine or its link, where webhooks go by address alone")
        for address in allowed:
            try:
                return await asyncio.open_connection(
                    address,
                    target.port,
                    ssl=self._tls if target.is_secure else None,
                    server_hostname=target.host if target.is_secure else None,
                )
            except OSError as error:
                refused = error
        raise refused


class _Response:
    """Reads an answer."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._retry_after_s: float | None = None
        self._is_whole = False

    async def read(self, reader: asyncio.StreamReader) -> None:
        left = _ANSWER_BYTES
        while left > 0 and not self._is_whole and (data := await reader.read(_READ_BYTES)):
            left -= len(data)
            self._parser.feed_data(data)

    # What the parser calls.
    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and value.isdigit():
            self._retry_after_s = float(value[:9])

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.answer = Answer(status=status, retry_after_s=self._retry_after_s)

    def on_message_complete(self) -> None:
        self._is_whole = self.answer is not None


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = {"Host": target.authority, **headers, "Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {target.path} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
