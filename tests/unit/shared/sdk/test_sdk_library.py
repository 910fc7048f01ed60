"""Files that lie at an edge, used by name."""

from pathlib import Path

import pytest

import viseme
from shared.sdk.testing import FakeEdge

LIBRARY = {f"lib:teachers/{name}.mp4": name.encode() for name in ("anna", "berta", "c/carla", "c/dora")}


async def test_a_library_is_listed_over_its_pages() -> None:
    async with FakeEdge(library=LIBRARY) as fake, viseme.connect(fake.address) as edge:
        assert (await edge.capabilities()).libraries == ("teachers",)
        assert [file.name async for file in edge.library("teachers")] == sorted(LIBRARY)
        assert [file.name async for file in edge.library("teachers", "c")] == sorted(LIBRARY)[2:]
        with pytest.raises(viseme.NotFoundError):
            _ = [file async for file in edge.library("pupils")]


async def test_a_file_is_added_by_its_name() -> None:
    told: list[viseme.Transfer] = []
    async with FakeEdge(library=LIBRARY) as fake, viseme.connect(fake.address) as edge:
        asset = await edge.add("lib:teachers/anna.mp4", on_progress=told.append)
        assert asset.id in fake.stored
        assert fake.received_bytes == 0
    assert [(one.waiting_for, one.done_bytes) for one in told] == [("its turn", 0), ("", 4)]
    assert {one.name for one in told} == {"lib:teachers/anna.mp4"}


async def test_names_and_files_mix_in_one_job(tmp_path: Path) -> None:
    speech = tmp_path / "speech.wav"
    speech.write_bytes(b"speech")
    async with FakeEdge(library=LIBRARY) as fake, viseme.connect(fake.address) as edge:
        job = await edge.dub("lib:teachers/anna.mp4", speech)
        await job.uploaded()
        assert fake.received_bytes == len(b"speech")
        assert fake.stored[job.status.video_asset_id].data == b"anna"
        both = await edge.dub("lib:teachers/anna.mp4", "lib:teachers/berta.mp4")
        assert fake.stored[both.status.speech_asset_id].data == b"berta"


async def test_an_error_names_what_the_file_was_to_be(tmp_path: Path) -> None:
    async with FakeEdge(library=LIBRARY) as fake, viseme.connect(fake.address) as edge:
        with pytest.raises(viseme.NotFoundError) as refused:
            await edge.dub("lib:teachers/anna.mp4", "lib:teachers/nobody.mp4")
        assert refused.value.field == "speech"
        with pytest.raises(viseme.InvalidInputError, match="No such file"):
            await edge.dub(tmp_path / "lib:teachers/anna.mp4", "lib:teachers/anna.mp4")
