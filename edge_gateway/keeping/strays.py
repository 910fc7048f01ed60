"""Files that no row of the database knows, and rows whose file is gone: what a power cut or a hand left behind."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_gateway.disk import remove_tree
from shared import digest

FOLDERS: Final = ("assets", "uploads", "faces", "jobs", "pictures")
"""What an edge's data folder has one entry in for each thing."""
_ASSET_ID: Final = 64
_FINAL: Final = "('succeeded', 'failed', 'cancelled')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """An entry of a folder that belongs to nothing."""

    folder: str
    """Which, from ``FOLDERS``."""
    path: Path
    size_bytes: int
    """What it takes on the disk; of a file with holes, less than its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the database knows, by folder."""

    assets: frozenset[str]
    uploads: frozenset[str]
    jobs: frozenset[str]
    """Those that are not over: only they have files."""

    def has(self, folder: str, name: str) -> bool:
        """Whether an entry belongs to something."""
        match folder:
            case "uploads":
                return name in self.uploads
            case "jobs":
                return name in self.jobs
            case _:  # a face's name begins with its video's, a picture's with that of what it shows
                return name[:_ASSET_ID] in self.assets


def read_known(connection: sqlite3.Connection) -> Known:
    """What the database knows."""
    assets: set[str] = set()
    for asset_id, size, digests in connection.execute("SELECT asset_id, size_bytes, digests FROM assets"):
        # One that was cut off while it got its name has that on disk already.
        whole = [digests[at : at + 32] for at in range(0, len(digests), 32)]
        assets |= {asset_id, digest.asset_id(size, whole)} if whole else {asset_id}
    uploads = {row[0] for row in connection.execute("SELECT upload_id FROM streams")}
    jobs = {row[0] for row in connection.execute(f"SELECT job_id FROM jobs WHERE state NOT IN {_FINAL}")}  # noqa: S608
    return Known(assets=frozenset(assets), uploads=frozenset(uploads), jobs=frozenset(jobs))


def find_strays(data: Path, known: Known) -> Iterator[Stray]:
    """Entries of a data folder that belong to nothing; only of a folder that nobody writes to is that certain."""
    for folder in FOLDERS:
        root = data / folder
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            if not known.has(folder, path.name):
                yield Stray(folder=folder, path=path, size_bytes=size_on_disk(path))


def lost_files(connection: sqlite3.Connection, data: Path) -> list[str]:
    """The ids of assets that are said to be complete, whose file is gone."""
    ready = connection.execute("SELECT asset_id FROM assets WHERE ready = 1")
    return [asset_id for (asset_id,) in ready if not (data / "assets" / asset_id / "media").is_file()]


def remove_stray(stray: Stray) -> None:
    """Delete one."""
    if stray.path.is_dir() and not stray.path.is_symlink():
        remove_tree(stray.path)
    else:
        stray.path.unlink(missing_ok=True)


def size_on_disk(path: Path) -> int:
    """Bytes that a file, or all in a folder, take."""
    paths = path.rglob("*") if path.is_dir() and not path.is_symlink() else (path,)
    return sum(one.lstat().st_blocks * 512 for one in paths)
