"""Damaged files of every kind are taken or refused, in words for a person, and never do harm.

``python -m tests.security.fuzz`` tries thousands; here are those that once did something that they should not, and a
few of each kind.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_gateway.jobs.children import PRELOAD
from shared.media.sandbox import Sandbox
from tests.security.fuzz import SEEDS, TAKEN, inputs, judge
from tests.security.samples import make_samples

KINDS = 19
ROUNDS = 3


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(preload=PRELOAD) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_samples(tmp_path_factory.mktemp("samples"))


async def test_every_kind_of_file_is_taken_when_it_is_whole(sandbox: Sandbox, samples: list[Path]) -> None:
    assert len(samples) == KINDS
    for path in samples:
        verdict = await judge(sandbox, path)
        is_photo = path.suffix in {".jpg", ".png"}
        assert verdict.kind == TAKEN or is_photo, f"{path.name}: {verdict}"


async def test_damaged_files_of_every_kind_get_an_answer(sandbox: Sandbox, samples: list[Path], tmp_path: Path) -> None:
    contents = [path.read_bytes() for path in samples]
    for seed, number, data in inputs(contents, 0, KINDS * ROUNDS):
        path = tmp_path / samples[number].name
        path.write_bytes(data)
        verdict = await judge(sandbox, path)
        assert not verdict.is_fault, f"seed {seed}, {path.name}: {verdict}"


@pytest.mark.parametrize("seed", sorted(SEEDS.glob("[0-9]*")), ids=lambda path: path.name)
async def test_what_once_did_harm_gets_an_answer(sandbox: Sandbox, seed: Path) -> None:
    verdict = await judge(sandbox, seed)
    assert not verdict.is_fault, str(verdict)
