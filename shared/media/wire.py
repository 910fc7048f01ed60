"""How a sandboxed child and its parent speak: frames of a JSON header and raw bytes over two socket pairs.

Nothing that a child sends is ever unpickled: a child that a file has taken over can lie, but run nothing in its parent.
"""

import json
import struct
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from socket import socket
from typing import Any

HEADER_BYTES = 8 << 20
"""Longest JSON header of a message."""
PAYLOAD_BYTES = 512 << 20
"""Longest payload of a message."""

PREFIX = struct.Struct(">BII")


class FrameKind(IntEnum):
    """What a frame is."""

    MESSAGE = 0
    END = 1
    """The child's task returned."""
    ERROR = 2
    """The child's task raised; the header says what."""


class WireError(Exception):
    """The other side breaks the rules of the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message between parent and child."""

    header: dict[str, Any]
    payload: bytes = b""


def pack(kind: FrameKind, header: dict[str, Any], payload_bytes: int) -> bytes:
    """The prefix and header of a frame; the payload follows as it is."""
    text = json.dumps(header, separators=(",", ":")).encode()
    if len(text) > HEADER_BYTES or payload_bytes > PAYLOAD_BYTES:
        raise WireError(f"a message of {len(text)} + {payload_bytes} bytes is longer than the wire takes")
    return PREFIX.pack(kind, len(text), payload_bytes) + text


def unpack_prefix(prefix: bytes) -> tuple[FrameKind, int, int]:
    """Kind, header length and payload length of a frame, checked."""
    kind, header_bytes, payload_bytes = PREFIX.unpack(prefix)
    if kind > max(FrameKind) or header_bytes > HEADER_BYTES or payload_bytes > PAYLOAD_BYTES:
        raise WireError(f"a frame of kind {kind} announces {header_bytes} + {payload_bytes} bytes")
    return FrameKind(kind), header_bytes, payload_bytes


def unpack_header(text: bytes) -> dict[str, Any]:
    """A frame's header, checked to be a JSON object."""
    try:
        header = json.loads(text)
    except ValueError as error:
        raise WireError("a header is not JSON") from error
    if not isinstance(header, dict):
        raise WireError("a header is not an object")
    return header


class Channel:
    """The child's end: blocking, so that a parent that does not read holds its child up."""

    def __init__(self, incoming: socket, outgoing: socket) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._waiting: deque[Message] = deque()

    def send(self, header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
        """Send one message; returns once the kernel has it."""
        self._send(FrameKind.MESSAGE, header, payload)

    def receive(self, kind: str | None = None) -> Message | None:
        """Wait for the parent's next message, or its next of a kind; None when it will send no more.

        Those of other kinds that come before it are given later, in their order.
        """
        if kind is None and self._waiting:
            return self._waiting.popleft()
        while (message := self._next()) is not None:
            if kind is None or message.header.get("kind") == kind:
                return message
            self._waiting.append(message)
        return None

    def _next(self) -> Message | None:
        prefix = self._read(PREFIX.size)
        if prefix is None:
            return None
        _, header_bytes, payload_bytes = unpack_prefix(prefix)
        header, payload = self._read(header_bytes), self._read(payload_bytes)
        if header is None or payload is None:
            return None
        return Message(header=unpack_header(header), payload=payload)

    def finish(self) -> None:
        """Tell the parent that the task has returned."""
        self._send(FrameKind.END, {}, b"")

    def fail(self, header: dict[str, Any]) -> None:
        """Tell the parent that the task has raised."""
        self._send(FrameKind.ERROR, header, b"")

    def _send(self, kind: FrameKind, header: dict[str, Any], payload: bytes | memoryview) -> None:
        self._outgoing.sendall(pack(kind, header, len(payload)))
        if payload:
            self._outgoing.sendall(payload)

    def _read(self, size: int) -> bytes | None:
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            count = self._incoming.recv_into(view[got:])
            if count == 0:
                return None
            got += count
        return bytes(data)
