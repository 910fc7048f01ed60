from collections.abc import AsyncIterator, Iterable
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edge_gateway.composite import PaintedSegment, blended, composite
from edge_gateway.label.drawing import Stamp
from edge_gateway.label.policy import Label
from shared.errors import InvalidMediaError
from shared.media.crop import crop_planes
from shared.media.limits import MediaLimits
from shared.media.planes import Planes
from shared.media.sandbox import ChildLimits, Message, Reach, Sandbox
from shared.media.video import ColourTags, Encoding, FrameReader, decode_video, encode_video

WIDTH, HEIGHT, FRAMES, CROP = 321, 240, 40, 128
RECT = [32, 48, 64, 64]
MASK = [0.5, 0.62, 0.2, 0.15, 0.1, 0.4]
COLOUR = ColourTags(matrix=1, primaries=1, transfer=1, full_range=True)
LIMITS = ChildLimits(address_space_bytes=2 << 30)


def picture(number: int) -> Planes:
    x, y = np.meshgrid(np.arange(WIDTH + 1), np.arange(HEIGHT))
    luma = (128 + 60 * np.sin((x + 3 * number) / 17) + 50 * np.cos(y / 23)).astype(np.uint8)
    return Planes(y=luma, u=luma[::2, ::2] // 2 + 60, v=200 - luma[::2, ::2] // 2)


def box(number: int) -> list[float]:
    return [150.3 + number / 3, 110.6, 140.0 + number / 7]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.mkv"
    encoding = Encoding(rate=Fraction(25), crf=12, colour=COLOUR)
    times = [number * 40_000 for number in range(FRAMES)]
    path.write_bytes(encode_video(map(picture, range(FRAMES)), times, encoding))
    return path


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(preload=["edge_gateway.composite"]) as sandbox:
        yield sandbox


def patch_of(crop: Planes, value: int | None) -> Planes:
    def part(plane: Any, step: int) -> Any:
        x, y, width, height = (number // step for number in RECT)
        cut = np.ascontiguousarray(plane[y : y + height, x : x + width])
        return cut if value is None else np.full_like(cut, value)

    return Planes(y=part(crop.y, 1), u=part(crop.u, 2), v=part(crop.v, 2))


def message(index: int, sources: list[int], *, value: int | None, start_us: int = 0, paint: bool = True) -> Message:
    encoding = Encoding(rate=Fraction(25), crf=4, colour=ColourTags.of("bt709", full_range=True))
    times = [place * 40_000 for place in range(len(sources))]
    patches = (patch_of(crop_planes(picture(number), box(number), CROP), value) for number in sources)
    data = encode_video(patches, times, encoding) if paint else b""
    header = {
        "kind": "segment",
        "index": index,
        "source_frames": sources,
        "source_times_us": [number * 40_000 for number in sources],
        "times_us": [start_us + time for time in times],
        "end_us": start_us + len(sources) * 40_000,
        "crop_px": CROP,
        "faces": [
            {
                "boxes": [box(number) for number in sources],
                "patch": RECT,
                "masks": [MASK if number % 5 or not paint else [0] * 6 for number in sources],
                "size_bytes": len(data),
            }
        ],
    }
    return Message(header=header, payload=data)


def of_both(one: Message, other: Message) -> Message:
    """What was painted on two faces in the same frames."""
    faces = one.header["faces"] + other.header["faces"]
    return Message(header=one.header | {"faces": faces}, payload=one.payload + other.payload)


def blend(path: Path, message: Message) -> list[Planes]:
    with FrameReader(path, MediaLimits()) as reader:
        return [planes.copy() for planes in blended(reader, PaintedSegment.of(message, MediaLimits()))]


def decoded(path: Path, wanted: Iterable[int]) -> list[Planes]:
    with FrameReader(path, MediaLimits()) as reader:
        return [planes.copy() for planes in reader.frames(list(wanted))]


def test_only_the_mask_changes(source: Path) -> None:
    order = [*range(10, 20), *range(18, 9, -1)]
    result = blend(source, message(0, order, value=255))
    for number, planes, before in zip(order, result, decoded(source, order), strict=True):
        changed = planes.y != before.y
        cx, cy, side = box(number)
        if number % 5 == 0:
            assert not changed.any()
            continue
        rows, columns = np.nonzero(changed)
        across, down = (columns + 0.5 - cx) / side + 0.5, (rows + 0.5 - cy) / side + 0.5
        assert abs(across - MASK[0]).max() <= MASK[2] + 0.01
        assert abs(down - MASK[1]).max() <= MASK[2] + 0.01
        assert planes.y[round(cy + side * 0.12), round(cx)] > 250
        assert len(rows) > 0.5 * np.pi * MASK[2] * MASK[3] * side**2


def test_an_untouched_mouth_comes_back_as_it_was(source: Path) -> None:
    order = list(range(20))
    for planes, before in zip(blend(source, message(0, order, value=None)), decoded(source, order), strict=True):
        for one, other in ((planes.y, before.y), (planes.u, before.u), (planes.v, before.v)):
            assert np.abs(one.astype(int) - other).max() <= 6


def test_two_faces_are_painted_into_the_same_frames(source: Path) -> None:
    order = [*range(6, 10)]
    one, other = message(0, order, value=255), message(0, order, value=0)
    for face in other.header["faces"]:
        face["boxes"] = [[cx, cy - 60, side] for cx, cy, side in face["boxes"]]
    nothing = message(0, order, value=0, paint=False)
    first, second = blend(source, one), blend(source, other)
    for place, both in enumerate(blend(source, of_both(of_both(one, nothing), other))):
        lower, upper = first[place].y, second[place].y
        before = decoded(source, [order[place]])[0].y
        apart = (lower == before) | (upper == before)
        np.testing.assert_array_equal(both.y[apart], np.where(lower != before, lower, upper)[apart])
        assert (both.y != before).sum() > (lower != before).sum()


async def test_segments_come_back_as_videos_that_can_be_joined(source: Path, sandbox: Sandbox) -> None:
    orders = [list(range(20, 40)), [*range(38, 18, -1)], [5, 5, 6]]
    arguments = {"path": str(source), "crf": 12, "rate": [25, 1], "preset": "ultrafast"}
    replies = []
    async with sandbox.spawn(composite, arguments, LIMITS, Reach(reads=(arguments["path"],))) as child:
        for index, order in enumerate(orders):
            sent = message(index, order, value=200, start_us=index * 2_000_000, paint=index != 2)
            await child.send(sent.header, sent.payload)
        child.send_end()
        while (reply := await child.receive()) is not None:
            replies.append(reply)
    assert [reply.header for reply in replies] == [
        {"kind": "composited", "index": index, "frames": len(order)} for index, order in enumerate(orders)
    ]
    parameters = set()
    for order, reply in zip(orders, replies, strict=True):
        with av.open(BytesIO(reply.payload)) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            parameters.add(context.extradata)
            assert (stream.width, stream.height) == (WIDTH + 1, HEIGHT)
            assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 2)
            packets = [packet for packet in container.demux(stream) if packet.size]
            assert [packet.is_keyframe for packet in packets] == [True] + [False] * (len(order) - 1)
        frames = decode_video(reply.payload, max_frames=len(order), max_pixels=1 << 20)
        for planes, before in zip(frames, decoded(source, order), strict=True):
            assert np.abs(planes.y[:40].astype(int) - before.y[:40]).mean() < 2
    assert len(parameters) == 1


async def test_the_same_segment_is_the_same_bytes_wherever_the_job_is_taken_up(source: Path, sandbox: Sandbox) -> None:
    sent = [message(0, list(range(20)), value=90), message(1, list(range(20, 40)), value=90, start_us=800_000)]

    async def last(messages: list[Message]) -> bytes:
        async with sandbox.spawn(composite, {"path": str(source)}, LIMITS, Reach(reads=(str(source),))) as child:
            for one in messages:
                await child.send(one.header, one.payload)
                reply = await child.receive()
                assert reply is not None
            return reply.payload

    assert await last(sent) == await last(sent[1:])


def test_the_label_is_on_the_first_frames_however_they_are_cut(source: Path) -> None:
    label = Label(text="AI", length_us=400_000)
    order = list(range(20))

    def shown(parts: list[list[int]], label: Label | None) -> list[Planes]:
        with FrameReader(source, MediaLimits()) as reader:
            info = reader.source
            stamp = label and Stamp(label, info.width, info.height, aspect=info.aspect, full_range=info.full_range)
            return [
                planes.copy()
                for index, part in enumerate(parts)
                for planes in blended(
                    reader,
                    PaintedSegment.of(message(index, part, value=90, start_us=part[0] * 40_000), MediaLimits()),
                    stamp,
                )
            ]

    without, whole = shown([order], None), shown([order], label)
    for place, (one, other) in enumerate(zip(without, whole, strict=True)):
        assert np.array_equal(one.y, other.y) == (place >= 10)
    pieces = shown([order[:3], order[3:13], order[13:]], label)
    for one, other in zip(whole, pieces, strict=True):
        top = slice(0, 30)  # what is painted below is encoded by piece
        assert np.array_equal(one.y[top], other.y[top])
        assert np.array_equal(one.u[:15], other.u[:15])


async def test_the_child_draws_the_label_that_it_is_told(source: Path, sandbox: Sandbox) -> None:
    sent = message(0, list(range(5)), value=90)
    pictures = []
    for label in (None, Label(text="AI").to_json()):
        arguments = {"path": str(source), "crf": 12, "label": label}
        async with sandbox.spawn(composite, arguments, LIMITS, Reach(reads=(str(source),))) as child:
            await child.send(sent.header, sent.payload)
            reply = await child.receive()
            assert reply is not None
            pictures.append(decode_video(reply.payload, max_frames=5, max_pixels=1 << 20)[0])
    plain, marked = (picture.y[8:20, 8:40].astype(int) for picture in pictures)
    assert np.abs(plain - marked).mean() > 20


@pytest.mark.parametrize(
    "change", [{"masks": [MASK]}, {"times_us": [0]}, {"patch": [0, 0, 32, 32]}, {"boxes": [[1, 1, 1]]}]
)
def test_a_rendered_segment_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    sent = message(3, [1, 2, 3], value=9)
    (face,) = sent.header["faces"]
    header = sent.header | change | {"faces": [face, face | change, face]}
    with pytest.raises(InvalidMediaError, match="segment 3"):
        PaintedSegment.of(Message(header=header, payload=sent.payload * 3), MediaLimits())


async def test_a_rendered_segment_that_is_no_video_is_refused(source: Path, sandbox: Sandbox) -> None:
    sent = message(0, [1, 2, 3], value=9)
    async with sandbox.spawn(composite, {"path": str(source)}, LIMITS, Reach(reads=(str(source),))) as child:
        await child.send(sent.header, b"no video at all" * 100)
        with pytest.raises(InvalidMediaError):
            await child.receive()
