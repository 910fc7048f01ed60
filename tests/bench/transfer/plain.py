"""The plain receiver: takes files from one connection, hashes and writes them, and says when each is safe.

    python -m tests.bench.transfer.plain FOLDER HOST

Prints its port, then the processor time of each file. A file comes as its size in eight bytes and its content; back
goes one byte once it is on disk. It copies into a buffer of a chunk and syncs every 8 MiB.
"""

import hashlib
import os
import socket
import struct
import sys
import time
from pathlib import Path

from shared.digest import CHUNK_BYTES

SIZE = struct.Struct(">Q")
SAFE = b"!"
_SYNC_BYTES = 8 << 20


def take(link: socket.socket, path: Path, size: int) -> None:
    """Take one file."""
    buffer = memoryview(bytearray(CHUNK_BYTES))
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    total = 0
    while total < size:
        got = link.recv_into(buffer, min(CHUNK_BYTES, size - total), socket.MSG_WAITALL)
        if not got:
            raise ConnectionError("the sender went away")
        hashlib.sha256(buffer[:got]).digest()
        os.pwrite(handle, buffer[:got], total)
        total += got
        if total % _SYNC_BYTES < CHUNK_BYTES:
            os.fdatasync(handle)
    os.fdatasync(handle)
    os.close(handle)
    link.sendall(SAFE)
    path.unlink()


def main() -> None:
    """Serve one connection."""
    folder, host = sys.argv[1:]
    with socket.create_server((host, 0)) as server:
        print(server.getsockname()[1], flush=True)
        link, _ = server.accept()
    with link:
        while head := link.recv(SIZE.size, socket.MSG_WAITALL):
            used = time.process_time()
            take(link, Path(folder) / "plain", SIZE.unpack(head)[0])
            print(time.process_time() - used, flush=True)


if __name__ == "__main__":
    main()
