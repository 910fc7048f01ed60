import asyncio
from pathlib import Path

from edge_gateway.assets.asset import Asset
from edge_gateway.assets.growth import Source
from edge_gateway.jobs.faces import Face, FaceView
from edge_gateway.jobs.job import JobOptions
from edge_gateway.jobs.node import Fate
from edge_gateway.jobs.plan import Plan
from shared.media.timeline import FitMode, OutputSegment

CROP_FRAMES = 25
FRAME_US = 40_000
ASSET = Asset(number=1, asset_id="a" * 64, size_bytes=1, display_name="clip.mp4", created_us=0, ready=True)
SOURCE = Source(ASSET, Path("clip.mp4"))


async def view_of(*crops: tuple[int, bool]) -> FaceView:
    """A face that is complete: of each crop segment of a second, whose face it shows and whether that is there."""
    face = Face(Path("nowhere"))
    for index, (who, has_face) in enumerate(crops):
        first = index * CROP_FRAMES
        face.take(
            {
                "kind": "crop",
                "index": index,
                "first_frame": first,
                "frame_count": CROP_FRAMES,
                "lead": 0,
                "trail": 0,
                "digest": "00",
                "size_bytes": 1,
                "who": who,
                "times_us": [(first + frame) * FRAME_US for frame in range(CROP_FRAMES)],
                "boxes": [[100, 100, 160]] * CROP_FRAMES,
                "has_face": [has_face] * CROP_FRAMES,
            }
        )
    frames = len(crops) * CROP_FRAMES
    face.take({"kind": "end", "frames": frames, "end_us": frames * FRAME_US})
    done = asyncio.create_task(asyncio.sleep(0))
    await done
    return FaceView(face, SOURCE, done)


async def planned(*views: FaceView, speech_us: int = 9_000_000) -> tuple[Plan, list[OutputSegment]]:
    plan = Plan(views, speech_us, JobOptions(fit=FitMode.TRIM), 2.0, crop_scale=1.6)
    return plan, [segment async for segment in plan.segments()]


async def test_a_segment_ends_where_another_person_begins_and_each_has_references_of_their_own() -> None:
    view = await view_of((0, True), (0, True), (0, True), (1, True), (1, True), (0, True))
    plan, segments = await planned(view)
    assert [(segment.sources[0], len(segment.frames)) for segment in segments] == [
        (0, 50),
        (50, 25),
        (75, 50),
        (125, 25),
    ]
    orders = [plan.order(segment) for segment in segments]
    assert [order and order.reference_crops for order in orders] == [(0, 1, 2), (0, 1, 2), (3, 4), (0, 1, 2)]


async def test_a_frame_is_untouched_where_none_of_the_faces_is_seen() -> None:
    one = await view_of((0, True), (-1, False), (-1, False))
    other = await view_of((-1, False), (0, True), (-1, False))
    plan, segments = await planned(one, other)
    both = [zip(plan.fates(segment, 0), plan.fates(segment, 1), strict=True) for segment in segments]
    assert sum(fates == (Fate.NO_FACE, Fate.NO_FACE) for pairs in both for fates in pairs) == CROP_FRAMES
    faces = [[plan.order(segment, voice) is not None for segment in segments] for voice in (0, 1)]
    assert faces[0] != faces[1]
    assert all(map(any, faces))
