"""Faces: what jobs used is listed, and named in place of a file."""

from pathlib import Path

import pytest

import viseme
from shared.sdk.testing import FakeEdge


async def test_what_jobs_used_is_listed_and_used_by_name_without_an_upload(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "s.wav", "t.wav"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    async with FakeEdge() as fake, viseme.connect(fake.address) as edge:
        for video, speech in (("a.mp4", "s.wav"), ("b.mp4", "s.wav"), ("a.mp4", "t.wav")):
            await (await edge.dub(tmp_path / video, tmp_path / speech)).wait()
        faces = [face async for face in edge.faces()]
        assert [(face.asset.name, face.jobs) for face in faces] == [("a.mp4", 2), ("b.mp4", 1)]
        before = fake.uploads
        by_asset = await edge.dub(faces[0].asset, tmp_path / "s.wav")
        by_name = await edge.dub(f"asset:{faces[0].asset.id[:10]}", f"asset:{by_asset.status.speech_asset_id}")
        assert by_name.status.video_asset_id == faces[0].asset.id
        assert fake.received_of.keys() == {"a.mp4", "b.mp4", "s.wav", "t.wav"}
        assert fake.uploads == before + 1
        with pytest.raises(viseme.NotFoundError):
            await edge.dub("asset:ffffffffff", tmp_path / "s.wav")
