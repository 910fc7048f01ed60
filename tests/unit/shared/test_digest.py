"""Names by content."""

import hashlib
from pathlib import Path

import pytest

from shared.digest import CHUNK_BYTES, asset_id, chunk_count, chunk_digest, file_digest


@pytest.mark.parametrize(
    ("size", "count"), [(0, 0), (1, 1), (CHUNK_BYTES, 1), (CHUNK_BYTES + 1, 2), (5 * CHUNK_BYTES, 5)]
)
def test_only_the_last_chunk_is_shorter(size: int, count: int) -> None:
    assert chunk_count(size) == count


def test_digests_are_sha_256(tmp_path: Path) -> None:
    data = b"x" * (CHUNK_BYTES + 3)
    (tmp_path / "file").write_bytes(data)
    assert file_digest(tmp_path / "file") == hashlib.sha256(data).digest()
    assert chunk_digest(memoryview(data)) == chunk_digest(bytearray(data)) == hashlib.sha256(data).digest()


def test_an_id_depends_on_size_order_and_chunks() -> None:
    """It is part of the public interface: clients in other languages compute it too."""
    one, two = chunk_digest(b"1"), chunk_digest(b"2")
    ids = {asset_id(2, [one, two]), asset_id(2, [two, one]), asset_id(3, [one, two]), asset_id(2, [one, two], 1)}
    assert len(ids) == 4
    known = hashlib.sha256(b"viseme asset 1\n2\n1048576\n" + one + two).hexdigest()
    assert asset_id(2, [one, two]) == known
