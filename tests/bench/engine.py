"""How fast the default engine is: bare, through Triton, and in the node; and what each step of a segment takes.

    python -m tests.bench.engine [--engine NAME] [--seconds 6]

Frames/s of the engine's network in this process, through a real Triton (shared memory, batches of 16), and of whole
jobs over gRPC against a real node (crops and speech in, encoded patches out), for 1, 4 and 16 at once; the jobs are
those of four clips of ``../shared/media``, their faces known, as a second job on a face is. Then the processor time of
each step per second of video at 25 frames/s, on one core. Where torch sees a GPU, the copy and matrix rates that it
reaches are printed beside.
"""

import argparse
import asyncio
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from inference_node.app import running_node
from inference_node.engine import painter
from inference_node.engine.canvas import canvas
from inference_node.engine.local import LocalTensors
from inference_node.engine.port import FaceFrames, Tensors
from inference_node.engine.registry import MODEL_REPOSITORY
from inference_node.engine.sketch import sketch
from inference_node.engine.triton import TritonTensors
from inference_node.engine.viseme import VisemeEngine
from inference_node.render.clip import encode_patches, find_faces, read_pictures
from inference_node.settings import NodeSettings
from inference_node.triton.environment import find
from inference_node.triton.server import ServerOptions, triton_server
from inference_node.triton.watchdog import Patience, TritonState, Watchdog
from shared.media.audio import decode_speech
from shared.media.limits import MediaLimits
from shared.media.profile import BALANCED, encode_speech
from shared.pb.viseme.inference.v1 import render_pb2 as pb
from shared.pb.viseme.inference.v1.render_pb2_grpc import RenderServiceStub
from tests.bench.profiles import Clip, Node, offer_of

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
CLIPS = ("v01_latentsync_demo1_1080x1920_25", "v03_latentsync_demo3_1080x1920_30", "v05_retalking_face4_700x700_30")
CLIPS += ("v11_liveportrait_s18_1280x720_30",)
SPEECH = MEDIA / "a03_en_a2f_claire_neutral_13s_16k.wav"
AT_ONCE = (1, 4, 16)
BATCH = 16
ROWS = 8
"""Of ``inference_node/triton/backends/onnxruntime/model.py``."""
ROUNDS = 24
RATE = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """A clip as the edge would send it."""

    clip: Clip
    segments: list[tuple[dict[str, Any], bytes]]

    @property
    def frames(self) -> int:
        """Frames in its segments."""
        return sum(told["frame_count"] for told, _ in self.segments)


def read_face(name: str, seconds: float) -> Face:
    """Cut a clip's face under the balanced profile."""
    clip = Clip(MEDIA / f"{name}.mp4", seconds)
    coded = [data for data, _ in clip.crops(BALANCED.crop)]
    return Face(clip=clip, segments=[(told, data) for (told, _), data in zip(clip.segments, coded, strict=True)])


async def network_inputs(face: Face, tensors: Tensors) -> dict[str, npt.NDArray[np.generic]]:
    """One batch for the network, of real frames."""
    node, engine = Node(face.clip), VisemeEngine(tensors)
    told, data = face.segments[0]
    found = node.faces(told, data)
    frames = FaceFrames(crops=found.crops[:BATCH], landmarks=found.landmarks[:BATCH])
    memory = await engine.remember(frames)
    track = await engine.hear(decode_speech(encode_speech(SPEECH, MediaLimits(), BALANCED.speech)))
    drawn = canvas(sketch(frames, track.at(np.arange(BATCH) / RATE + 1.0), memory.looks.warp.rest_width), memory.looks)
    return {**drawn.inputs, "HEAD": memory.heads(drawn)}


async def rate_of(call: Callable[[], Awaitable[object]], at_once: int, batch: int = BATCH) -> float:
    """Frames a second of calls of one batch each, so many at once."""
    await call()

    async def some() -> None:
        for _ in range(max(1, ROUNDS // at_once)):
            await call()

    begun = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(at_once)))
    return max(1, ROUNDS // at_once) * at_once * batch / (time.perf_counter() - begun)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[TritonTensors]:
    """The networks in a Triton of their own."""
    options = ServerOptions(environment=find(None), repository=MODEL_REPOSITORY, folder=folder)
    async with triton_server(options) as server:
        tensors = TritonTensors(server.url, deadline_s=60.0, observe=lambda _model, _seconds: None)
        models = VisemeEngine.card.models
        watchdog = Watchdog(tensors, server, models, patience=Patience(), on_reload=lambda _what: None, called="Triton")
        watching = asyncio.create_task(watchdog.run())
        try:
            while watchdog.state is not TritonState.READY:
                await watchdog.next_state(watchdog.state)
            yield tensors
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await tensors.close()


async def show_networks(face: Face, folder: Path) -> float:
    """Print the network's rates; gives the bare one."""
    local = LocalTensors(MODEL_REPOSITORY, observe=lambda _model, _seconds: None)
    inputs = await network_inputs(face, local)
    bare = await rate_of(lambda: local.infer("viseme", inputs, [painter.OUTPUT]), 1)
    print(f"| network in this process, one thread, {BATCH} frames at once | {bare:.1f} | | |")
    few = {name: value[:ROWS] for name, value in inputs.items()}
    in_cache = await rate_of(lambda: local.infer("viseme", few, [painter.OUTPUT]), 1, ROWS)
    print(f"| the same, {ROWS} frames at once, as Triton's backend does | {in_cache:.1f} | | |")
    async with served(folder) as tensors:
        rates = [await rate_of(lambda: tensors.infer("viseme", inputs, [painter.OUTPUT]), count) for count in AT_ONCE]
    bare_again = await rate_of(lambda: local.infer("viseme", inputs, [painter.OUTPUT]), 1)
    told = " | ".join(f"{rate:.1f}" for rate in rates)
    print(f"| network through Triton, {BATCH} frames a request | {told} |")
    print(f"| network in this process again | {bare_again:.1f} | | |", flush=True)
    return (bare + bare_again) / 2


async def show_node(faces: Sequence[Face], folder: Path, engine: str) -> None:
    """Print the rates of whole jobs."""
    settings = NodeSettings(
        listen="127.0.0.1:0", metrics="127.0.0.1:0", data=folder, name="bench", engine=engine, grace_seconds=0.2
    )
    speech = encode_speech(SPEECH, MediaLimits(), BALANCED.speech)
    async with running_node(settings) as node:
        while node.runtime.state is not TritonState.READY:
            await node.runtime.next_state(node.runtime.state)
        async with grpc.aio.insecure_channel(str(node.rpc)) as channel:
            stub = RenderServiceStub(channel)
            begun = time.perf_counter()
            first = await job(stub, faces[0], speech, "new face")
            print(f"| whole job in the node, new face | {first / (time.perf_counter() - begun):.1f} | | |")
            for face in faces[1:]:
                await job(stub, face, speech, "warm-up")
            rates = []
            for count in AT_ONCE:
                begun = time.perf_counter()
                names = [(faces[number % len(faces)], f"{count} at once, {number}") for number in range(count)]
                frames = await asyncio.gather(*(job(stub, face, speech, name) for face, name in names))
                rates.append(sum(frames) / (time.perf_counter() - begun))
    print("| whole jobs in the node, known faces | " + " | ".join(f"{rate:.1f}" for rate in rates) + " |", flush=True)


async def job(stub: RenderServiceStub, face: Face, speech: bytes, job_id: str) -> int:
    """Have every frame of a face rendered; gives their number."""
    call = stub.Render()
    await call.write(pb.RenderRequest(spec=spec_of(face, speech, job_id)))
    accepted = (await call.read()).accepted
    if accepted.need_speech:
        await call.write(pb.RenderRequest(speech=pb.SpeechPiece(offset_bytes=0, data=speech)))
    for told, data in face.segments:
        await call.write(pb.RenderRequest(offer=crop_offer(told, data)))
    references = range(min(3, len(face.segments)))
    for told, _ in face.segments:
        times = told["times_us"]
        first = told["first_frame"]
        order = pb.SegmentOrder(
            segment_index=told["index"],
            source_frames=range(first, first + len(times)),
            times_us=times,
            reference_crops=references,
        )
        await call.write(pb.RenderRequest(order=order))
    missing = {told["index"] for told, _ in face.segments}
    while missing:
        reply = await call.read()
        kind = reply.WhichOneof("message")
        if kind == "need" and reply.need.needed:
            data = face.segments[reply.need.crop_index][1]
            piece = pb.CropPiece(crop_index=reply.need.crop_index, offset_bytes=0, data=data)
            await call.write(pb.RenderRequest(crop=piece))
        elif kind == "rendered" and reply.rendered.HasField("complete"):
            missing.discard(reply.rendered.segment_index)
    await call.done_writing()
    return face.frames


def spec_of(face: Face, speech: bytes, job_id: str) -> pb.RenderSpec:
    """What a job says of itself."""
    matrix = {"bt601": pb.COLOR_MATRIX_BT601, "bt709": pb.COLOR_MATRIX_BT709, "bt2020": pb.COLOR_MATRIX_BT2020}
    return pb.RenderSpec(
        job_id=job_id,
        crop_px=VisemeEngine.card.crop_px,
        color_matrix=matrix[face.clip.source["matrix"]],
        full_range=face.clip.source["full_range"],
        speech_digest=hashlib.sha256(speech).digest(),
        speech_bytes=len(speech),
        total_segments=len(face.segments),
    )


def crop_offer(told: dict[str, Any], data: bytes) -> pb.CropOffer:
    """What a job says of a crop segment."""
    offer = offer_of(told, data)
    return pb.CropOffer(
        crop_index=offer.crop_index,
        digest=hashlib.sha256(data).digest(),
        size_bytes=len(data),
        first_frame=offer.first_frame,
        frame_count=offer.frame_count,
        lead_frames=offer.lead_frames,
        trail_frames=offer.trail_frames,
    )


async def show_steps(face: Face) -> None:
    """Print the processor time of each step, one after the other in this process."""
    node, local = Node(face.clip), LocalTensors(MODEL_REPOSITORY, observe=lambda _model, _seconds: None)
    engine = VisemeEngine(local)
    clock = Clock()
    found = []
    for told, data in face.segments:
        offer = offer_of(told, data)
        with clock.step("decode crops"):
            pictures = read_pictures(data, offer, node.spec)
        with clock.step("landmarks"):
            found.append(find_faces(pictures, offer))
    sound = encode_speech(SPEECH, MediaLimits(), BALANCED.speech)
    with clock.step("hear (all of the speech)"):
        track = await engine.hear(decode_speech(sound))
    frames = FaceFrames(
        crops=np.concatenate([part.crops for part in found]),
        landmarks=np.concatenate([part.landmarks for part in found]),
    )
    with clock.step("learn the face (once)"):
        memory = await engine.remember(frames.part(range(min(150, len(frames.crops)))))
    rest_width = memory.looks.warp.rest_width
    times = np.arange(len(frames.crops)) / RATE
    for start in range(0, len(times), BATCH):
        part = frames.part(range(start, min(start + BATCH, len(times))))
        with clock.step("lay out lips"):
            drawn = canvas(sketch(part, track.at(times[start : start + BATCH]), rest_width), memory.looks)
        head = memory.heads(drawn)
        with clock.step("network"):
            painted = (await local.infer("viseme", {**drawn.inputs, "HEAD": head}, [painter.OUTPUT]))[painter.OUTPUT]
        told_us = tuple(int(at * 1e6) for at in times[start : start + BATCH])
        with clock.step("encode patches"):
            encode_patches(painted.astype(np.uint8), drawn.masks, told_us, patch=engine.card.patch, spec=node.spec)
    print("\n| step | CPU s per video s |\n|---|---|")
    for name, seconds in clock.spent.items():
        print(f"| {name} | {seconds / (len(times) / RATE):.3f} |")


class Clock:
    """Processor time by step."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count what happens inside."""
        begun = time.process_time()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - begun


def show_ceilings() -> None:
    """Print what a GPU copies and multiplies, where there is one."""
    try:
        import torch  # noqa: PLC0415 - only where it is installed
    except ImportError:
        return
    if not torch.cuda.is_available():
        return
    block = torch.zeros(1 << 28, device="cuda")
    square = torch.ones(8192, 8192, device="cuda", dtype=torch.bfloat16)
    copied = block.numel() * block.element_size() * 2 / seconds_of(block.clone)
    multiplied = 2 * 8192**3 / seconds_of(lambda: square @ square)
    print(
        f"\n{torch.cuda.get_device_name()}: copies {copied / 1e9:.0f} GB/s, multiplies {multiplied / 1e12:.0f} TFLOP/s"
    )


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds of one run on the GPU, mean of ten."""
    import torch  # noqa: PLC0415 - only where it is installed

    work()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(10):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / 10


async def run(options: argparse.Namespace) -> None:
    """Print everything."""
    faces = [read_face(name, options.seconds) for name in CLIPS]
    print(f"| frames/s | {' | '.join(f'{count} at once' for count in AT_ONCE)} |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        await show_networks(faces[0], Path(folder) / "triton")
        await show_node(faces, Path(folder) / "node", options.engine)
    await show_steps(faces[0])
    show_ceilings()


def main() -> None:
    """Read the options and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="viseme", help="for the whole jobs")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each clip")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
