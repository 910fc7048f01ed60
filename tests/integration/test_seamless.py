"""However a job is cut, whoever renders it and how often: the painted pixels are the same, bit for bit."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from edge_gateway.prepare import prepare
from inference_node.app import running_node
from inference_node.engine.viseme import VisemeEngine
from inference_node.settings import NodeSettings
from inference_node.triton.environment import TritonEnvironmentError, find
from inference_node.triton.watchdog import TritonState
from shared.media.limits import MediaLimits
from shared.media.profile import BALANCED, encode_speech
from shared.media.video import decode_video
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceStub

MEDIA = Path(__file__).resolve().parents[1] / "media"
FRAME_US = 40_000
LOSSLESS = pb.VideoCoding(codec=pb.VIDEO_CODEC_H264, crf=0, preset="veryfast")

Segment = tuple[dict[str, Any], bytes]
Painted = dict[int, tuple[bytes, tuple[float, ...]]]


class Recorder:
    """A channel whose messages are kept."""

    def __init__(self) -> None:
        self.source: dict[str, Any] = {}
        self.segments: list[Segment] = []

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        if header["kind"] == "source":
            self.source = header
        elif header["kind"] == "crop":
            self.segments.append((header, payload))


@pytest.fixture(scope="module")
def face() -> Recorder:
    recorder = Recorder()
    card = VisemeEngine.card
    told = {"path": str(MEDIA / "clip.mp4"), "crop_px": card.crop_px, "crop_scale": card.crop_scale, "limits": {}}
    prepare(recorder, told | {"segment_seconds": 1.0})
    return recorder


@pytest.fixture(scope="module")
def speech() -> bytes:
    return encode_speech(MEDIA / "speech-papa.wav", MediaLimits(), BALANCED.speech)


@asynccontextmanager
async def node(folder: Path, **settings: Any) -> AsyncIterator[RenderServiceStub]:
    try:
        find()
    except TritonEnvironmentError as error:
        pytest.skip(str(error))
    told = NodeSettings(listen="127.0.0.1:0", metrics="127.0.0.1:0", data=folder, grace_seconds=0.2, **settings)
    async with running_node(told) as running:
        while running.runtime.state is not TritonState.READY:
            await running.runtime.next_state(running.runtime.state)
        async with grpc.aio.insecure_channel(str(running.rpc)) as channel:
            yield RenderServiceStub(channel)


async def painted(
    stub: RenderServiceStub, face: Recorder, speech: bytes, parts: Sequence[Sequence[int]], job_id: str
) -> Painted:
    """Order output frames, which show the source's frames in turn, in these parts; gives pixels and mask of each."""
    call = stub.Render()
    crops = {header["index"]: data for header, data in face.segments}
    await call.write(pb.RenderRequest(spec=_spec(face, speech, job_id, len(parts))))
    if (await call.read()).accepted.need_speech:
        await call.write(pb.RenderRequest(speech=pb.SpeechPiece(data=speech)))
    for header, data in face.segments:
        await call.write(pb.RenderRequest(offer=_offer(header, data)))
    for index, part in enumerate(parts):
        order = pb.SegmentOrder(
            segment_index=index,
            source_frames=part,
            times_us=[at * FRAME_US for at in part],
            reference_crops=list(crops),
        )
        await call.write(pb.RenderRequest(order=order))
    found: Painted = {}
    data = dict.fromkeys(range(len(parts)), b"")
    missing = set(data)
    while missing:
        reply = await call.read()
        kind = reply.WhichOneof("message")
        if kind == "need" and reply.need.needed:
            index = reply.need.crop_index
            await call.write(pb.RenderRequest(crop=pb.CropPiece(crop_index=index, data=crops[index])))
        elif kind == "rendered":
            piece = reply.rendered
            data[piece.segment_index] += piece.data
            if piece.HasField("complete"):
                missing.discard(piece.segment_index)
                frames = decode_video(data[piece.segment_index], max_frames=1000, max_pixels=1 << 20)
                for at, frame, mask in zip(parts[piece.segment_index], frames, piece.complete.masks, strict=True):
                    told = (mask.center_x, mask.center_y, mask.radius_x, mask.radius_y, mask.angle, mask.feather)
                    found[at] = (_inside(frame.y, told, piece.complete.patch), told)
    await call.done_writing()
    return found


def _inside(luma: Any, mask: tuple[float, ...], patch: pb.PatchBox) -> bytes:
    """The pixels within the mask; what is outside is nobody's, and is coded as it comes cheapest."""
    side = VisemeEngine.card.crop_px
    down, right = np.mgrid[patch.y : patch.y + patch.height, patch.x : patch.x + patch.width] + 0.5
    away_x, away_y = right / side - mask[0], down / side - mask[1]
    cosine, sine = np.cos(mask[4]), np.sin(mask[4])
    along, across = (away_x * cosine + away_y * sine) / mask[2], (away_y * cosine - away_x * sine) / mask[3]
    return bytes(luma[np.hypot(along, across) < 1.0].tobytes())


def _spec(face: Recorder, speech: bytes, job_id: str, parts: int) -> pb.RenderSpec:
    return pb.RenderSpec(
        job_id=job_id,
        crop_px=VisemeEngine.card.crop_px,
        color_matrix={"bt601": pb.COLOR_MATRIX_BT601, "bt709": pb.COLOR_MATRIX_BT709}[face.source["matrix"]],
        full_range=face.source["full_range"],
        speech_digest=hashlib.sha256(speech).digest(),
        speech_bytes=len(speech),
        total_segments=parts,
        patch=LOSSLESS,
    )


def _offer(header: dict[str, Any], data: bytes) -> pb.CropOffer:
    return pb.CropOffer(
        crop_index=header["index"],
        digest=hashlib.sha256(data).digest(),
        size_bytes=len(data),
        first_frame=header["first_frame"],
        frame_count=header["frame_count"],
        lead_frames=header["lead"],
        trail_frames=header["trail"],
    )


async def test_one_segment_or_many_on_one_node_or_two_paint_the_same_pixels(
    face: Recorder, speech: bytes, tmp_path: Path
) -> None:
    count = min(24, sum(header["frame_count"] for header, _ in face.segments))
    small = [range(first, min(first + 3, count)) for first in range(0, count, 3)]
    async with node(tmp_path / "one") as first, node(tmp_path / "two", batch_frames=5, workers=3) as second:
        expected = await painted(first, face, speech, [range(count)], "whole")
        assert len(expected) == count
        assert any(mask[2] > 0 for _, mask in expected.values())
        assert await painted(first, face, speech, small, "again, in small parts") == expected
        assert await painted(second, face, speech, small[::-1], "elsewhere, in other order") == expected
