"""Bytes that arrive in pieces, checked against what was announced."""

import hashlib

from shared.errors import InvalidInputError

PIECE_BYTES = 1 << 20
"""Largest piece."""


class Assembly:
    """Puts pieces together, in order.

    Args:
        digest: SHA-256 that the whole must have.
        size_bytes: Size that it must have.
        field: What to name in errors.
    """

    def __init__(self, digest: bytes, size_bytes: int, *, field: str) -> None:
        self._digest = digest
        self._size = size_bytes
        self._field = field
        self._data = bytearray()

    def add(self, offset: int, data: bytes) -> bytes | None:
        """Add a piece; gives the whole once it is complete. Offset 0 begins anew.

        Raises:
            InvalidInputError: the piece does not fit, or the whole is not what was announced.
        """
        if offset == 0:
            self._data.clear()
        if offset != len(self._data):
            raise InvalidInputError(
                f"A piece begins at byte {offset}; {len(self._data)} bytes are there.", field=self._field
            )
        if len(data) > PIECE_BYTES:
            raise InvalidInputError(f"A piece has {len(data)} bytes; {PIECE_BYTES} may be.", field=self._field)
        if offset + len(data) > self._size:
            raise InvalidInputError(f"More bytes arrive than the {self._size} that were announced.", field=self._field)
        self._data += data
        if len(self._data) < self._size:
            return None
        whole = bytes(self._data)
        if hashlib.sha256(whole).digest() != self._digest:
            raise InvalidInputError("The bytes do not have the digest that was announced.", field=self._field)
        return whole
