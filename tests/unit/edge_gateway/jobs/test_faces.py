import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_gateway.assets.asset import Asset
from edge_gateway.assets.growth import Source
from edge_gateway.jobs.faces import FaceAsk, Faces, crop_digests, forget_faces, reference_crops
from shared.errors import InternalError, NoFaceError
from shared.media.profile import BALANCED
from shared.media.sandbox import Message

ASK = FaceAsk(video="a" * 64, crop_px=256, crop_scale=1.6, segment_s=2.0, crop=BALANCED.crop, frame_pixels=9_437_184)
CLIP = Asset(number=1, asset_id="a" * 64, size_bytes=1, display_name="clip", created_us=0, ready=True)
SOURCE = Source(CLIP, Path("clip"))
SEGMENTS = 5
FRAMES = 10


def crop(index: int) -> Message:
    payload = f"crop {index}".encode()
    header = {
        "kind": "crop",
        "index": index,
        "first_frame": index * FRAMES,
        "frame_count": FRAMES,
        "lead": 0,
        "trail": 0,
        "times_us": [40_000 * (index * FRAMES + at) for at in range(FRAMES)],
        "boxes": [[float(index), 2.0, 3.0]] * FRAMES,
        "has_face": [True] * FRAMES,
        "who": 0,
        "digest": hashlib.sha256(payload).hexdigest(),
    }
    return Message(header=header, payload=payload)


class Cutter:
    """A child that says what it is told to, and counts how often it was started."""

    def __init__(self) -> None:
        self.skipped: list[int] = []
        self.stop_after = SEGMENTS
        self.running = 0
        self.error: Exception | None = None

    @asynccontextmanager
    async def __call__(self, source: Source, ask: FaceAsk, skip_segments: int) -> AsyncIterator["Cuts"]:
        self.skipped.append(skip_segments)
        self.running += 1
        try:
            yield Cuts(self, skip_segments)
        finally:
            self.running -= 1


class Cuts:
    def __init__(self, cutter: Cutter, skip: int) -> None:
        self.cutter = cutter
        self.waiting = [Message(header={"kind": "source", "width": 8})]
        self.waiting += [crop(index) for index in range(skip, cutter.stop_after)]
        if cutter.stop_after == SEGMENTS:
            end = {"kind": "end", "frames": SEGMENTS * FRAMES, "end_us": SEGMENTS * FRAMES * 40_000}
            self.waiting.append(Message(header=end))

    async def receive(self) -> Message | None:
        if self.waiting:
            return self.waiting.pop(0)
        if self.cutter.error is not None:
            raise self.cutter.error
        if self.cutter.stop_after < SEGMENTS:
            await asyncio.Event().wait()
        return None


@pytest.fixture
def cutter() -> Cutter:
    return Cutter()


async def complete(faces: Faces) -> list[bytes]:
    async with faces.open(ASK, SOURCE) as view:
        await view.until(lambda face: face.is_complete)
        return [view.face.read_crop(index) for index in range(len(view.face.crops))]


async def test_a_face_is_made_once_and_found_again(tmp_path: Path, cutter: Cutter) -> None:
    first = await complete(Faces(tmp_path, cutter))
    assert first == [f"crop {index}".encode() for index in range(SEGMENTS)]
    faces = Faces(tmp_path, cutter)
    assert await complete(faces) == first
    assert cutter.skipped == [0]
    async with faces.open(ASK, SOURCE) as view:
        await view.until(lambda face: face.is_complete)
        face = view.face
        assert face.finished_at is None
        assert (face.box(23), face.crop_of(23).index, face.crop_of(49).index) == ((2.0, 2.0, 3.0), 2, 4)
        assert reference_crops(face, 0) == (0, 1, 2)


async def test_a_face_in_part_is_continued_even_with_a_torn_last_line(tmp_path: Path, cutter: Cutter) -> None:
    cutter.stop_after = 3
    async with Faces(tmp_path, cutter).open(ASK, SOURCE) as view:
        await view.until(lambda face: len(face.crops) == 3)
    assert cutter.running == 0
    track = tmp_path / ASK.key / "track.jsonl"
    with track.open("a") as file:
        file.write('{"kind":"crop","ind')
    (tmp_path / ASK.key / "crop-00002.mp4").unlink()
    cutter.stop_after = SEGMENTS
    crops = await complete(Faces(tmp_path, cutter))
    assert cutter.skipped == [0, 2]
    assert crops == [f"crop {index}".encode() for index in range(SEGMENTS)]
    assert len(track.read_text().splitlines()) == SEGMENTS + 2


async def test_a_line_that_power_spoilt_ends_the_track(tmp_path: Path, cutter: Cutter) -> None:
    cut = Faces(tmp_path, cutter)
    await complete(cut)
    track = tmp_path / ASK.key / "track.jsonl"
    lines = track.read_bytes().splitlines()
    lines[3] = b"\0" * len(lines[3])
    track.write_bytes(b"\n".join(lines) + b"\n")
    assert len(await complete(Faces(tmp_path, cutter))) == SEGMENTS
    assert cutter.skipped == [0, 2]
    assert b"\0" not in track.read_bytes()


async def test_two_jobs_on_one_face_share_one_child(tmp_path: Path, cutter: Cutter) -> None:
    faces = Faces(tmp_path, cutter)
    one, other = await asyncio.gather(complete(faces), complete(faces))
    assert one == other
    assert cutter.skipped == [0]


async def test_what_goes_wrong_reaches_everybody_who_waits(tmp_path: Path, cutter: Cutter) -> None:
    cutter.stop_after, cutter.error = 1, NoFaceError("nobody there", field="video")
    faces = Faces(tmp_path, cutter)
    ends = await asyncio.gather(complete(faces), complete(faces), return_exceptions=True)
    assert [type(end) for end in ends] == [NoFaceError, NoFaceError]


async def test_a_damaged_crop_is_not_sent_and_made_again(tmp_path: Path, cutter: Cutter) -> None:
    await complete(Faces(tmp_path, cutter))
    path = tmp_path / ASK.key / "crop-00001.mp4"
    path.write_bytes(b"c" * path.stat().st_size)
    with pytest.raises(InternalError, match="damaged"):
        await complete(Faces(tmp_path, cutter))
    assert (await complete(Faces(tmp_path, cutter)))[1] == b"crop 1"


async def test_forgetting_a_video_forgets_its_faces_alone(tmp_path: Path, cutter: Cutter) -> None:
    faces = Faces(tmp_path, cutter)
    await complete(faces)
    (tmp_path / "other").mkdir()
    forget_faces(tmp_path, "*")
    forget_faces(tmp_path, "b" * 64)
    assert len(list(tmp_path.iterdir())) == 2
    assert crop_digests(tmp_path, "*") == []
    assert len(crop_digests(tmp_path, "a" * 64)) == 5
    forget_faces(tmp_path, "a" * 64)
    assert [folder.name for folder in tmp_path.iterdir()] == ["other"]
