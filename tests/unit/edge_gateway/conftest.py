"""Edge parts on a database of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_gateway.assets.catalog import Catalog
from edge_gateway.assets.store import AssetStore
from edge_gateway.database import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(tmp_path / "edge.db") as opened:
        yield opened


@pytest.fixture
def catalog(database: Database) -> Catalog:
    return Catalog(database)


@pytest.fixture
def store(tmp_path: Path, catalog: Catalog) -> AssetStore:
    return AssetStore(tmp_path / "assets", catalog)
