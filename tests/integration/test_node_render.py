"""A real node over real gRPC, with a real Triton and an engine that only does the probe's arithmetic."""

import asyncio
import contextlib
import hashlib
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import grpc
import numpy as np
import numpy.typing as npt
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inference_node.app import Node, running_node
from inference_node.engine.port import EngineCard, FaceFrames, Memory, Patch, RenderedFrames, Tensors
from inference_node.rpc.servicer import SERVICE
from inference_node.settings import NodeSettings
from inference_node.speech.mouth import TRACK_RATE, MouthTrack
from inference_node.triton.environment import TritonEnvironmentError, find
from inference_node.triton.watchdog import TritonState
from shared.errors import NodeUnavailableError, VisemeError
from shared.face.mesh import GOOD_SCORE, FaceMesh, Roi, face_height
from shared.media.encode import ColourTags, Encoding
from shared.media.planes import planes_to_rgb, rgb_to_planes
from shared.media.video import decode_video, encode_video
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceStub
from shared.rpc.status import from_rpc_error

PX = 160
PATCH = Patch(x=32, y=64, width=96, height=80)
RATE = 25
PORTRAIT = Path(__file__).resolve().parents[2] / "deploy" / "demo" / "portrait.jpg"
FRAMES = 20
"""Frames of a crop segment."""


class ArithmeticEngine:
    """Paints what the probe network makes of the patch."""

    card = EngineCard(
        name="arithmetic", summary="For tests", crop_px=PX, crop_scale=1.6, patch=PATCH, models=("probe",)
    )

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self.go = asyncio.Event()
        self.go.set()
        self.started = asyncio.Event()
        self.rendering = 0

    def hold(self) -> None:
        """Let the next frames wait until ``go`` is set."""
        self.go.clear()
        self.started.clear()

    async def hear(self, samples: npt.NDArray[np.float32]) -> MouthTrack:
        return MouthTrack(shapes=np.zeros((len(samples) * TRACK_RATE // 16_000, 4), dtype=np.float32))

    async def remember(self, frames: FaceFrames) -> Memory:
        assert len(frames.crops)
        return np.uint8(frames.crops.mean())

    async def render(self, frames: FaceFrames, shapes: npt.NDArray[np.float32], memory: Memory) -> RenderedFrames:
        del shapes, memory
        self.rendering += 1
        self.started.set()
        try:
            await self.go.wait()
        finally:
            self.rendering -= 1
        area = frames.crops[:, PATCH.y : PATCH.y + PATCH.height, PATCH.x : PATCH.x + PATCH.width]
        flat = (area // 4).reshape(len(area), -1)
        answer = await self._tensors.infer("probe", {"INPUT": flat}, ["BYTES"])
        masks = np.tile(np.array([0.5, 0.65, 0.25, 0.2, 0.0, 0.2], dtype=np.float32), (len(area), 1))
        return RenderedFrames(patches=answer["BYTES"].reshape(area.shape).astype(np.uint8), masks=masks)


@dataclass
class Crop:
    data: bytes
    first_frame: int
    lead: int
    trail: int

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.data).digest()


@pytest.fixture(scope="session")
def crops() -> list[Crop]:
    """Three crop segments of a portrait that sways."""
    whole = cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2RGB)
    side = face_side(whole)
    count = 3 * FRAMES
    pictures = [sway(whole, side, number / RATE) for number in range(count)]
    encoding = Encoding(rate=Fraction(RATE), crf=20, colour=ColourTags.of("bt709", full_range=False), b_frames=False)
    made = []
    for first in range(0, count, FRAMES):
        lead, trail = min(2, first), min(2, count - first - FRAMES)
        part = pictures[first - lead : first + FRAMES + trail]
        planes = [rgb_to_planes(picture, "bt709", full_range=False) for picture in part]
        times = [number * 1_000_000 // RATE for number in range(len(part))]
        made.append(Crop(encode_video(planes, times, encoding), first, lead, trail))
    return made


def face_side(whole: np.ndarray) -> tuple[float, float, float]:
    mesh = FaceMesh().landmarks(whole, Roi(x=226, y=115, side=190))
    assert mesh.score > GOOD_SCORE
    points = mesh.points
    middle = (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
    return float(middle[0]), float(middle[1]), 1.6 * float(face_height(points))


def sway(whole: np.ndarray, face: tuple[float, float, float], time_s: float) -> np.ndarray:
    x, y, side = face
    scale = side / PX
    left, top = x - side / 2 + 6 * np.sin(3 * time_s), y - side / 2
    matrix = np.array([[scale, 0, left], [0, scale, top]])
    return cv2.warpAffine(whole, matrix, (PX, PX), flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP)


@pytest.fixture(scope="session")
def speech() -> bytes:
    """Two seconds of FLAC."""
    sink = io.BytesIO()
    samples = (8000 * np.sin(np.arange(32_000) / 20)).astype(np.int16)[None]
    with av.open(sink, "w", format="flac") as out:
        stream = out.add_stream("flac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16_000
        out.mux([*stream.encode(frame), *stream.encode(None)])
    return sink.getvalue()


@dataclass
class Serving:
    node: Node
    engines: list[ArithmeticEngine]
    stub: RenderServiceStub
    channel: grpc.aio.Channel

    @property
    def engine(self) -> ArithmeticEngine:
        return self.engines[-1]


@asynccontextmanager
async def serving(folder: Path, **settings: object) -> AsyncIterator[Serving]:
    try:
        find()
    except TritonEnvironmentError as error:
        pytest.skip(str(error))
    engines: list[ArithmeticEngine] = []

    def make(tensors: Tensors) -> ArithmeticEngine:
        engines.append(ArithmeticEngine(tensors))
        return engines[-1]

    told = {"listen": "127.0.0.1:0", "metrics": "127.0.0.1:0", "data": folder, "engine": "arithmetic"} | settings
    made = NodeSettings(name="test", grace_seconds=0.2, **told)
    async with running_node(made, factories={"arithmetic": make}) as node:
        async with asyncio.timeout(20):
            while node.runtime.state not in {TritonState.READY, TritonState.LOCAL}:
                await node.runtime.next_state(node.runtime.state)
        async with grpc.aio.insecure_channel(str(node.rpc)) as channel:
            yield Serving(node, engines, RenderServiceStub(channel), channel)


@dataclass
class Edge:
    """An edge's side of one job."""

    crops: Sequence[Crop]
    speech: bytes
    job_id: str = "job"
    needs: list[tuple[int, bool]] = field(default_factory=list)
    progress: list[pb.SegmentProgress] = field(default_factory=list)
    segments: dict[int, tuple[bytes, pb.RenderedSegment]] = field(default_factory=dict)
    need_speech: bool = False

    async def open(self, stub: RenderServiceStub) -> "grpc.aio.StreamStreamCall":
        call = stub.Render()
        spec = pb.RenderSpec(
            job_id=self.job_id,
            crop_px=PX,
            color_matrix=pb.COLOR_MATRIX_BT709,
            speech_digest=hashlib.sha256(self.speech).digest(),
            speech_bytes=len(self.speech),
            total_segments=len(self.crops),
            patch=pb.VideoCoding(codec=pb.VIDEO_CODEC_H264, crf=12, preset="medium"),
        )
        await call.write(pb.RenderRequest(spec=spec))
        self.need_speech = (await self.read(call)).accepted.need_speech
        if self.need_speech:
            await call.write(pb.RenderRequest(speech=pb.SpeechPiece(data=self.speech)))
        for index, crop in enumerate(self.crops):
            offer = pb.CropOffer(
                crop_index=index,
                digest=crop.digest,
                size_bytes=len(crop.data),
                first_frame=crop.first_frame,
                frame_count=FRAMES,
                lead_frames=crop.lead,
                trail_frames=crop.trail,
            )
            await call.write(pb.RenderRequest(offer=offer))
        return call

    async def order(self, call: "grpc.aio.StreamStreamCall", segment: int, **more: object) -> None:
        frames = range(segment * FRAMES, (segment + 1) * FRAMES)
        order = {"source_frames": list(frames), "times_us": [frame * 40_000 for frame in frames]} | more
        message = pb.SegmentOrder(segment_index=segment, reference_crops=[0, 1], **order)
        await call.write(pb.RenderRequest(order=message))

    async def read(self, call: "grpc.aio.StreamStreamCall") -> pb.RenderResponse:
        """One answer; asks for crops are met at once."""
        answer = await call.read()
        assert answer is not grpc.aio.EOF
        match answer.WhichOneof("message"):
            case "need":
                self.needs.append((answer.need.crop_index, answer.need.needed))
                if answer.need.needed:
                    data = self.crops[answer.need.crop_index].data
                    half = len(data) // 2
                    for offset, piece in ((0, data[:half]), (half, data[half:])):
                        crop = pb.CropPiece(crop_index=answer.need.crop_index, offset_bytes=offset, data=piece)
                        await call.write(pb.RenderRequest(crop=crop))
            case "progress":
                self.progress.append(answer.progress)
            case "rendered":
                piece = answer.rendered
                self.segments[piece.segment_index] = (piece.data, piece.complete)
                await call.write(pb.RenderRequest(ack=pb.SegmentAck(segment_index=piece.segment_index)))
        return answer

    async def run(self, stub: RenderServiceStub, segments: Sequence[int] = (0, 1, 2)) -> "Edge":
        async with asyncio.timeout(15):
            call = await self.open(stub)
            for segment in segments:
                await self.order(call, segment)
            await self.finish(call, len(segments))
        return self

    async def finish(self, call: "grpc.aio.StreamStreamCall", count: int) -> None:
        while len(self.segments) < count:
            await self.read(call)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def drain(call: "grpc.aio.StreamStreamCall") -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def refused(call: "grpc.aio.StreamStreamCall") -> VisemeError:
    """What a call ended with."""
    async with asyncio.timeout(15):
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await drain(call)
    return from_rpc_error(ended.value, unavailable=NodeUnavailableError)


async def test_a_job_is_rendered_and_its_pixels_are_the_networks(
    tmp_path: Path, crops: list[Crop], speech: bytes
) -> None:
    async with serving(tmp_path) as node:
        edge = await Edge(crops, speech).run(node.stub)
    assert edge.need_speech
    assert edge.needs == [(0, True), (1, True), (2, True)]
    assert {told.done_frames for told in edge.progress} >= {0, FRAMES}
    for index, crop in enumerate(crops):
        data, complete = edge.segments[index]
        assert complete.digest == hashlib.sha256(data).digest()
        assert (complete.patch.x, complete.patch.width) == (PATCH.x, PATCH.width)
        assert len(complete.masks) == FRAMES
        assert complete.infer_time.ToNanoseconds() > 0
        assert painted_error(data, crop) < 4


def painted_error(data: bytes, crop: Crop) -> float:
    """How far the middle of the patch is from the probe's arithmetic, in grey levels."""
    shown = decode_video(data, max_frames=FRAMES, max_pixels=PX * PX)
    source = decode_video(crop.data, max_frames=FRAMES + 4, max_pixels=PX * PX)[crop.lead : crop.lead + FRAMES]
    assert len(shown) == FRAMES
    errors = []
    for got, had in zip(shown, source, strict=True):
        area = planes_to_rgb(had, "bt709", full_range=False)[PATCH.y : PATCH.y + PATCH.height, PATCH.x :][
            :, : PATCH.width
        ]
        wanted = rgb_to_planes(area // 4 * 3 + 7, "bt709", full_range=False)
        errors.append(np.abs(got.y[30:50, 30:66].astype(int) - wanted.y[30:50, 30:66]).mean())
    return float(np.mean(errors))


async def test_again_sends_nothing_and_gives_the_same_even_after_a_restart(
    tmp_path: Path, crops: list[Crop], speech: bytes
) -> None:
    async with serving(tmp_path) as node:
        first = await Edge(crops, speech).run(node.stub)
    async with serving(tmp_path, batch_frames=5, workers=1) as node:
        again = await Edge(crops, speech).run(node.stub, segments=(2, 0, 1))
    assert not again.need_speech
    assert again.needs == [(0, False), (1, False), (2, False)]
    assert {index: data for index, (data, _) in again.segments.items()} == {
        index: data for index, (data, _) in first.segments.items()
    }


async def test_frames_without_a_face_are_not_painted(tmp_path: Path, crops: list[Crop], speech: bytes) -> None:
    async with serving(tmp_path) as node, asyncio.timeout(15):
        edge = Edge(crops, speech)
        call = await edge.open(node.stub)
        await edge.order(call, 0, has_face=[False] * FRAMES)
        await edge.order(call, 1, has_face=[number >= 5 for number in range(FRAMES)])
        while len(edge.segments) < 2:
            await edge.read(call)
        await call.done_writing()
    data, complete = edge.segments[0]
    assert data == b""
    assert not any(mask.radius_x for mask in complete.masks)
    assert [mask.radius_x > 0 for mask in edge.segments[1][1].masks] == [number >= 5 for number in range(FRAMES)]


async def test_a_crop_that_was_evicted_is_asked_for_again(tmp_path: Path, crops: list[Crop], speech: bytes) -> None:
    async with serving(tmp_path, frames_bytes=1) as node:
        await Edge(crops, speech).run(node.stub, segments=(0,))
        (tmp_path / "cache" / crops[2].digest.hex()[:2] / crops[2].digest.hex()).write_bytes(b"damaged")
        edge = await Edge(crops, speech).run(node.stub, segments=(2,))
    assert edge.needs == [(0, False), (1, False), (2, False), (2, True)]
    assert 2 in edge.segments


async def test_what_is_forgotten_is_on_no_disk_and_made_anew(tmp_path: Path, crops: list[Crop], speech: bytes) -> None:
    cache = tmp_path / "cache"
    async with serving(tmp_path) as node:
        first = await Edge(crops, speech).run(node.stub)
        files = [path for path in cache.rglob("*") if path.is_file()]
        digests = [bytes.fromhex(path.name) for path in files]
        told = await node.stub.Forget(pb.ForgetRequest(digests=[*digests, bytes(32)]))
        assert (told.dropped, list(told.in_use)) == (len(crops) + 1, [])
        assert not any(path.is_file() for path in cache.rglob("*"))
        again = await Edge(crops, speech).run(node.stub)
        assert (again.need_speech, again.needs) == (True, first.needs)
        with pytest.raises(grpc.aio.AioRpcError, match="32 bytes"):
            await node.stub.Forget(pb.ForgetRequest(digests=[b"short"]))
        with pytest.raises(grpc.aio.AioRpcError, match="1024"):
            await node.stub.Forget(pb.ForgetRequest(digests=[bytes(32)] * 1025))


async def test_a_full_queue_says_when_to_come_again(tmp_path: Path, crops: list[Crop], speech: bytes) -> None:
    async with serving(tmp_path, queue_segments=1, workers=1) as node, asyncio.timeout(15):
        await Edge(crops, speech).run(node.stub, segments=(0, 1))
        node.engine.hold()
        long, late = Edge(crops, speech, "long"), Edge(crops, speech, "late")
        call = await long.open(node.stub)
        for segment in range(3):
            await long.order(call, segment)
        async with asyncio.TaskGroup() as group:
            group.create_task(long.finish(call, 3))
            await node.engine.started.wait()
            await until(node, lambda told: told.queued_segments == 1)
            other = await late.open(node.stub)
            await late.order(other, 0)
            error = await refused(other)
            node.engine.go.set()
    assert (error.reason, error.limit) == ("queue_full", "queue_segments")
    assert error.retry_after_s
    assert len(long.segments) == 3


async def until(node: Serving, settled: Callable[[pb.GetStatusResponse], bool]) -> None:
    while not settled(await status(node)):
        pass


def kill_triton() -> None:
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name() == "tritonserver":
                child.kill()


async def status(node: Serving) -> pb.GetStatusResponse:
    return await node.stub.GetStatus(pb.GetStatusRequest())


async def test_a_stream_that_goes_leaves_nothing_behind(tmp_path: Path, crops: list[Crop], speech: bytes) -> None:
    async with serving(tmp_path, workers=1) as node, asyncio.timeout(15):
        await Edge(crops, speech).run(node.stub, segments=(0, 1))
        node.engine.hold()
        edge = Edge(crops, speech)
        call = await edge.open(node.stub)
        for segment in range(3):
            await edge.order(call, segment)
        await node.engine.started.wait()
        assert (await status(node)).active_jobs == 1
        call.cancel()
        await until(node, lambda told: not told.active_jobs and not told.queued_segments)
        assert not node.engine.rendering
        node.engine.go.set()
        await Edge(crops, speech).run(node.stub)


async def test_what_a_cut_stream_took_with_it_is_not_rendered_again(
    tmp_path: Path, crops: list[Crop], speech: bytes
) -> None:
    async with serving(tmp_path, workers=1) as node, asyncio.timeout(15):
        first = await Edge(crops, speech).run(node.stub, segments=(0, 1))
        node.engine.hold()
        again = await Edge(crops, speech).run(node.stub, segments=(0, 1))
        assert not node.engine.started.is_set()
        edge = Edge(crops, speech, job_id="another job")
        call = await edge.open(node.stub)
        await edge.order(call, 0)
        await node.engine.started.wait()
        node.engine.go.set()
        await edge.finish(call, 1)
    assert {index: data for index, (data, _) in again.segments.items()} == {
        index: data for index, (data, _) in first.segments.items()
    }
    assert edge.segments[0][0] == first.segments[0][0]


async def test_triton_killed_in_the_middle_costs_only_time(tmp_path: Path, crops: list[Crop], speech: bytes) -> None:
    async with serving(tmp_path) as node, asyncio.timeout(20):
        whole = await Edge(crops, speech).run(node.stub)
        node.engine.hold()
        edge = Edge(crops, speech, job_id="another job")
        call = await edge.open(node.stub)
        for segment in range(3):
            await edge.order(call, segment)
        async with asyncio.TaskGroup() as group:
            group.create_task(edge.finish(call, 3))
            await node.engine.started.wait()
            kill_triton()
            node.engine.go.set()
    assert {index: data for index, (data, _) in edge.segments.items()} == {
        index: data for index, (data, _) in whole.segments.items()
    }


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.RenderRequest(ack=pb.SegmentAck()), "spec"),
        (pb.RenderRequest(spec=pb.RenderSpec(crop_px=PX, engine="nothing")), "options.engine"),
        (pb.RenderRequest(spec=pb.RenderSpec(crop_px=16)), "crop_px"),
        (pb.RenderRequest(spec=pb.RenderSpec(crop_px=PX, speech_bytes=1)), "speech_digest"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(tmp_path: Path, message: pb.RenderRequest, field: str) -> None:
    async with serving(tmp_path, engine_runtime="local") as node:
        call = node.stub.Render()
        await call.write(message)
        assert (await refused(call)).field == field


async def test_a_crop_that_is_no_video_fails_the_stream_and_not_the_node(
    tmp_path: Path, crops: list[Crop], speech: bytes
) -> None:
    broken = [Crop(b"not a video" * 50, 0, 0, 2), *crops[1:]]
    async with serving(tmp_path) as node:
        edge = Edge(broken, speech)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await edge.run(node.stub, segments=(0,))
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        await Edge(crops, speech).run(node.stub)


async def test_an_order_that_can_never_be_met_is_a_conflict(tmp_path: Path, crops: list[Crop], speech: bytes) -> None:
    async with serving(tmp_path) as node, asyncio.timeout(15):
        edge = Edge(crops, speech)
        call = await edge.open(node.stub)
        await edge.order(call, 0, source_frames=list(range(500, 500 + FRAMES)))
        for _ in range(3):
            await edge.read(call)
        await call.done_writing()
        assert (await refused(call)).reason == "conflict"


async def test_health_and_status_tell_of_triton(tmp_path: Path) -> None:
    async with serving(tmp_path) as node:
        health = health_pb2_grpc.HealthStub(node.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        async with asyncio.timeout(15):
            while (await watch.read()).status != health_pb2.HealthCheckResponse.SERVING:
                pass
            assert (await status(node)).triton == pb.TRITON_STATE_READY
            kill_triton()
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


async def test_without_triton_it_says_so(tmp_path: Path, crops: list[Crop], speech: bytes) -> None:
    async with serving(tmp_path, engine_runtime="local") as node:
        assert (await status(node)).triton == pb.TRITON_STATE_LOCAL
        edge = await Edge(crops, speech).run(node.stub)
    assert painted_error(edge.segments[0][0], crops[0]) < 4


async def test_one_job_does_not_fill_the_queue(tmp_path: Path, crops: list[Crop], speech: bytes) -> None:
    async with serving(tmp_path, workers=1, stream_segments=2) as node, asyncio.timeout(15):
        await Edge(crops, speech).run(node.stub, segments=(0, 1))
        node.engine.hold()
        long, late = Edge(crops, speech, "long"), Edge(crops, speech, "late")
        call = await long.open(node.stub)
        for segment in range(3):
            await long.order(call, segment)
        async with asyncio.TaskGroup() as group:
            group.create_task(long.finish(call, 3))
            await node.engine.started.wait()
            group.create_task(late.run(node.stub, segments=(0,)))
            await until(node, lambda told: told.active_jobs == 2 and told.queued_segments == 2)
            node.engine.go.set()
    assert (len(long.segments), len(late.segments)) == (3, 1)
