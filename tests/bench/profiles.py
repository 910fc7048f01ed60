"""What each link profile costs: bytes, processor time and the mouth.

    python -m tests.bench.profiles [--seconds 8] [--try NAME=CROP/PATCH ...]

Three clips are dubbed by another recording, once with lossless crops and patches and once with each profile's, through
the programs' own parts in this process: the edge's tracker and cutter, the node's landmarks, engine and encoder, the
edge's compositor. The pictures that the compositor makes, before the one encoding that every result has, are compared
in luma within the box around lips and chin (mesh points between the base of the nose and the chin, as wide as the mouth
and a half), frame by frame. ``--try`` adds a row with codings of one's own, as in ``mine=av1:40:6/h264:23:medium``.
"""

import argparse
import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_gateway.composite import PaintedFace, PaintedSegment, blended
from edge_gateway.prepare import prepare
from inference_node.engine.local import LocalTensors
from inference_node.engine.port import FaceFrames, Memory
from inference_node.engine.warp import WarpEngine
from inference_node.render.clip import CropFrames, encode_patches, find_faces, read_pictures
from inference_node.render.messages import JobSpec, Offer
from inference_node.speech.mouth import MouthTrack
from shared.media.audio import decode_speech
from shared.media.crop import Mask
from shared.media.encode import Codec, Coding, ColourTags, encode_video, encoding_of
from shared.media.limits import MediaLimits
from shared.media.planes import Matrix, Planes
from shared.media.profile import PROFILES, SpeechCoding, encode_speech
from shared.media.video import FrameReader, decode_video

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"
CLIPS = {
    "v03": "v03_latentsync_demo3_1080x1920_30.mp4",
    "v05": "v05_retalking_face4_700x700_30.mp4",
    "v01": "v01_latentsync_demo1_1080x1920_25.mp4",
}
SPEECH = MEDIA / "a03_en_a2f_claire_neutral_13s_16k.wav"
REPOSITORY = Path(__file__).resolve().parents[2] / "inference_node" / "model_repository"
LOSSLESS = Coding(codec=Codec.H264, crf=0, preset="veryfast")
SPEECH_SECONDS = 12.69
REFERENCES = 3
LIPS_AND_CHIN = (2, 61, 291, 0, 17, 152, 148, 377)
"""Mesh points: base of the nose, corners of the mouth, lips, chin."""

Plane = npt.NDArray[np.uint8]


class Kept:
    """The channel of a child whose messages are kept."""

    def __init__(self) -> None:
        self.headers: list[dict[str, Any]] = []
        self.payloads: list[bytes] = []

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Keep a message."""
        if header["kind"] != "progress":
            self.headers.append(header)
            self.payloads.append(payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """What one way over the link takes."""

    size_bytes: int = 0
    cpu_s: float = 0.0

    def __add__(self, other: "Leg") -> "Leg":
        return Leg(size_bytes=self.size_bytes + other.size_bytes, cpu_s=self.cpu_s + other.cpu_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One clip under one pair of codings."""

    up: Leg
    down: Leg
    speech_bytes: int
    mouths: list[Plane]


class Clip:
    """A clip, its lossless crops and its track."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        channel = Kept()
        card = WarpEngine.card
        arguments = {"path": str(path), "crop_px": card.crop_px, "crop_scale": card.crop_scale, "limits": {}}
        arguments |= {"crop_codec": str(LOSSLESS.codec), "crop_crf": LOSSLESS.crf, "crop_preset": LOSSLESS.preset}
        prepare(channel, arguments)  # type: ignore[arg-type]  # all that it does with a channel is to send
        self.source = channel.headers[0]
        pairs = zip(channel.headers[1:-1], channel.payloads[1:-1], strict=True)
        self.segments = [(told, data) for told, data in pairs if told["times_us"][0] < seconds * 1e6]
        self.seconds = sum(told["frame_count"] for told, _ in self.segments) / float(Fraction(*self.source["rate"]))

    @cached_property
    def colour(self) -> ColourTags:
        """What the crops carry."""
        return ColourTags.of(self.source["matrix"], full_range=self.source["full_range"])

    def crops(self, coding: Coding) -> Iterator[tuple[bytes, Leg]]:
        """The crop segments under a coding."""
        for told, data in self.segments:
            if coding == LOSSLESS:
                yield data, Leg(size_bytes=len(data))
                continue
            count = told["lead"] + told["frame_count"] + told["trail"]
            planes = decode_video(data, max_frames=count, max_pixels=1 << 20)
            rate = Fraction(*self.source["rate"])
            times_us = [round(number * 1e6 / rate) for number in range(count)]
            encoding = encoding_of(coding, rate=rate, colour=self.colour)
            begun = time.process_time()
            made = encode_video(planes, times_us, encoding)
            yield made, Leg(size_bytes=len(made), cpu_s=time.process_time() - begun)


def offer_of(told: dict[str, Any], data: bytes) -> Offer:
    """What the edge would offer."""
    return Offer(
        crop_index=told["index"],
        digest=b"",
        size_bytes=len(data),
        first_frame=told["first_frame"],
        frame_count=told["frame_count"],
        lead_frames=told["lead"],
        trail_frames=told["trail"],
    )


class Node:
    """The node's work on one clip."""

    def __init__(self, clip: Clip) -> None:
        self.engine = WarpEngine(LocalTensors(REPOSITORY, observe=lambda _, __: None))
        self.spec = JobSpec(
            job_id="bench",
            engine="",
            crop_px=WarpEngine.card.crop_px,
            matrix=Matrix(clip.source["matrix"]),
            full_range=clip.source["full_range"],
            speech_digest=b"",
            speech_bytes=0,
            total_segments=len(clip.segments),
            patch=LOSSLESS,
        )

    def faces(self, told: dict[str, Any], data: bytes) -> CropFrames:
        """Decode and find landmarks."""
        offer = offer_of(told, data)
        return find_faces(read_pictures(data, offer, self.spec), offer)

    async def memory(self, parts: Sequence[CropFrames]) -> Memory:
        """What the engine learns of the face."""
        crops = np.concatenate([part.crops for part in parts])
        return await self.engine.remember(
            FaceFrames(crops=crops, landmarks=np.concatenate([part.landmarks for part in parts]))
        )

    async def render(
        self, frames: CropFrames, times_us: Sequence[int], track: MouthTrack, memory: Memory, coding: Coding
    ) -> tuple[bytes, npt.NDArray[np.float32], Leg]:
        """Paint and encode one segment."""
        shapes = track.at(np.array(times_us, dtype=np.float64) / 1e6)
        painted = await self.engine.render(FaceFrames(crops=frames.crops, landmarks=frames.landmarks), shapes, memory)
        begun = time.process_time()
        patch = self.engine.card.patch
        data = encode_patches(
            painted.patches, painted.masks, tuple(times_us), patch=patch, spec=replace(self.spec, patch=coding)
        )
        return data, painted.masks, Leg(size_bytes=len(data), cpu_s=time.process_time() - begun)


async def run(clip: Clip, crop: Coding, patch: Coding, speech: SpeechCoding, boxes: list[list[int]]) -> Run:
    """Dub a clip; ``boxes`` says where in each frame the mouth is, and is filled where it is empty."""
    node, up, down = Node(clip), Leg(), Leg()
    sound = encode_speech(SPEECH, MediaLimits(), speech)
    track = await node.engine.hear(decode_speech(sound))
    faces = []
    for (told, _), (data, leg) in zip(clip.segments, clip.crops(crop), strict=True):
        up += leg
        faces.append(node.faces(told, data))
    memory = await node.memory(faces[:REFERENCES])
    mouths: list[Plane] = []
    with FrameReader(clip.path, MediaLimits()) as reader:
        for (told, _), frames in zip(clip.segments, faces, strict=True):
            data, masks, leg = await node.render(frames, told["times_us"], track, memory, patch)
            down += leg
            painted = _painted(told, data, masks)
            if len(boxes) <= told["first_frame"]:
                size = (reader.source.width, reader.source.height)
                boxes += [
                    _mouth(points, box, size) for points, box in zip(frames.landmarks, told["boxes"], strict=True)
                ]
            for number, planes in enumerate(blended(reader, painted), told["first_frame"]):
                left, top, right, bottom = boxes[number]
                mouths.append(planes.y[top:bottom, left:right].copy())
    return Run(up=up, down=down, speech_bytes=len(sound), mouths=mouths)


def _painted(told: dict[str, Any], data: bytes, masks: npt.NDArray[np.float32]) -> PaintedSegment:
    patch, count = WarpEngine.card.patch, told["frame_count"]
    patches: list[Planes] = decode_video(data, max_frames=count, max_pixels=1 << 20)
    frames = list(range(told["first_frame"], told["first_frame"] + count))
    face = PaintedFace(
        boxes=told["boxes"],
        patch=(patch.x, patch.y, patch.width, patch.height),
        masks=[Mask.of([float(value) for value in mask]) for mask in masks],
        patches=patches,
    )
    return PaintedSegment(
        index=told["index"],
        source_frames=frames,
        times_us=told["times_us"],
        source_times_us=told["times_us"],
        crop_px=WarpEngine.card.crop_px,
        faces=[face],
    )


def _mouth(points: npt.NDArray[np.float32], box: Sequence[float], size: tuple[int, int]) -> list[int]:
    """The box around lips and chin in pixels of the frame: left, top, right, bottom."""
    scale = box[2] / WarpEngine.card.crop_px
    found = points[list(LIPS_AND_CHIN)] * scale + (np.array(box[:2]) - box[2] / 2)
    (left, top), (right, bottom) = found.min(axis=0), found.max(axis=0)
    side = 0.25 * (right - left)
    clip_x, clip_y = (lambda value: int(np.clip(value, 0, size[0]))), (lambda value: int(np.clip(value, 0, size[1])))
    return [clip_x(left - side), clip_y(top), clip_x(right + side), clip_y(bottom)]


def ssim(one: Plane, other: Plane) -> float:
    """Structural similarity of two pictures (Wang et al. 2004: Gaussian window of 11, sigma 1.5)."""

    def blur(picture: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(picture, (11, 11), 1.5), dtype=np.float64)

    a, b = one.astype(np.float64), other.astype(np.float64)
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float(np.mean(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))))


def likeness(ours: Iterable[Plane], truth: Iterable[Plane]) -> tuple[float, float]:
    """Mean SSIM, and PSNR in dB of the mean square error over all frames."""
    alike, errors = [], []
    for a, b in zip(ours, truth, strict=True):
        alike.append(ssim(a, b))
        errors.append(float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)))
    return float(np.mean(alike)), float(10 * np.log10(255**2 / max(np.mean(errors), 1e-9)))


def _coding(text: str) -> Coding:
    codec, crf, preset = text.split(":")
    return Coding(codec=Codec(codec), crf=float(crf), preset=preset)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1e6, help="of each clip at most")
    parser.add_argument("--clips", nargs="*", default=list(CLIPS))
    parser.add_argument("--try", dest="tries", nargs="*", default=[], metavar="NAME=CROP/PATCH[/BITRATE]")
    options = parser.parse_args()
    rows = [(name, profile.crop, profile.patch, profile.speech) for name, profile in PROFILES.items()]
    for given in options.tries:
        name, _, codings = given.partition("=")
        crop, patch, *rest = codings.split("/")
        speech = SpeechCoding(bitrate=int(rest[0])) if rest else PROFILES["fast-link"].speech
        rows.append((name, _coding(crop), _coding(patch), speech))
    exact = PROFILES["fast-link"].speech
    print("| clip | profile | crops kB/min | CPU s/s | patches kB/min | CPU s/s | speech kB/min | SSIM | PSNR dB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for clip_name in options.clips:
        clip = Clip(MEDIA / CLIPS[clip_name], options.seconds)
        boxes: list[list[int]] = []
        truth = asyncio.run(run(clip, LOSSLESS, LOSSLESS, exact, boxes))
        for name, crop, patch, speech in rows:
            found = asyncio.run(run(clip, crop, patch, speech, boxes))
            alike, decibels = likeness(found.mouths, truth.mouths)
            ways = [
                f"{leg.size_bytes * 60 / 1e3 / clip.seconds:.0f} | {leg.cpu_s / clip.seconds:.3f}"
                for leg in (found.up, found.down)
            ]
            sound = found.speech_bytes * 60 / 1e3 / SPEECH_SECONDS
            print(
                f"| {clip_name} | {name} | {' | '.join(ways)} | {sound:.0f} | {alike:.4f} | {decibels:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
