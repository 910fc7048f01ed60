"""Clips of several people, put together from clips of one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from edge_gateway.face.detector import FaceDetector
from edge_gateway.face.tracks import FaceTracks
from edge_gateway.face.view import View
from shared.face.mesh import FaceMesh, face_height, roi_from_points
from shared.media.encode import ColourTags, Encoding, encode_video
from shared.media.limits import MediaLimits
from shared.media.planes import rgb_to_planes
from shared.media.video import FrameReader

Picture = npt.NDArray[np.uint8]
RATE = 25


def pictures(clip: Path, *, width: int, height: int, count: int) -> list[Picture]:
    """The first frames of a clip or a photo at 25 a second, scaled and cut to fill a size; again from the start."""
    with av.open(str(clip)) as media:
        stream = media.streams.video[0]
        step = float(stream.average_rate or RATE) / RATE
        wanted = {round(index * step) for index in range(count)}
        shown = [
            _filled(frame.to_ndarray(format="rgb24"), width, height)
            for index, frame in enumerate(islice(media.decode(stream), max(wanted) + 1))
            if index in wanted
        ]
    return list(islice(cycle(shown), count))


def beside(*rows: Sequence[Picture]) -> list[Picture]:
    """Several people in one picture, from left to right."""
    return [np.concatenate(row, axis=1) for row in zip(*rows, strict=True)]


def without(frames: Sequence[Picture], hidden: Callable[[int], bool], part: slice) -> list[Picture]:
    """The same, with some columns grey in the frames that are named."""
    shown = [frame.copy() for frame in frames]
    for index, frame in enumerate(shown):
        if hidden(index):
            frame[:, part] = 90
    return shown


def pasted(frames: Sequence[Picture], *, width: int, height: int, left: int, top: int) -> list[Picture]:
    """Pictures somewhere in larger grey ones."""
    shown = []
    for frame in frames:
        whole = np.full((height, width, 3), 90, np.uint8)
        whole[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
        shown.append(whole)
    return shown


def film(path: Path, frames: Iterable[Picture], *, crf: float = 16) -> Path:
    """Write a clip of 25 frames a second."""
    planes = [rgb_to_planes(frame, "bt709", full_range=False) for frame in frames]
    times_us = [index * 1_000_000 // RATE for index in range(len(planes))]
    colour = ColourTags.of("bt709", full_range=False)
    encoding = Encoding(rate=Fraction(RATE), crf=crf, preset="ultrafast", colour=colour)
    path.write_bytes(encode_video(iter(planes), times_us, encoding))
    return path


def _filled(rgb: Picture, width: int, height: int) -> Picture:
    scale = max(width / rgb.shape[1], height / rgb.shape[0])
    size = (max(width, round(rgb.shape[1] * scale)), max(height, round(rgb.shape[0] * scale)))
    scaled = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (size[0] - width) // 2, (size[1] - height) // 4
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def sheet(path: Path, target: Path, *, every: int = 10, columns: int = 6, width: int = 320) -> None:
    """Put every so many frames of a video onto one picture, to look at."""
    shown = [_reduced(frame, width) for frame in _every(path, every)]
    blank = np.zeros_like(shown[0])
    shown += [blank] * (-len(shown) % columns)
    rows = [np.concatenate(shown[at : at + columns], axis=1) for at in range(0, len(shown), columns)]
    cv2.imwrite(str(target), np.concatenate(rows)[..., ::-1])


def _every(path: Path, every: int) -> Iterator[Picture]:
    with av.open(str(path)) as media:
        for index, frame in enumerate(media.decode(video=0)):
            if index % every == 0:
                yield frame.to_ndarray(format="rgb24")


def _reduced(frame: Picture, width: int) -> Picture:
    height = round(frame.shape[0] * width / frame.shape[1])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def somebody_else(frames: Sequence[Picture]) -> list[Picture]:
    """The same frames with another face: narrower, darker, in spectacles. Each must show one person from the front."""
    mesh, detector = FaceMesh(), FaceDetector()
    return [_disguised(frame, mesh, detector) for frame in frames]


def _disguised(frame: Picture, mesh: FaceMesh, detector: FaceDetector) -> Picture:
    narrow = cv2.resize(frame, (frame.shape[1] * 3 // 4, frame.shape[0]), interpolation=cv2.INTER_AREA)
    left = (frame.shape[1] - narrow.shape[1]) // 2
    shown = cv2.copyMakeBorder(narrow, 0, 0, left, frame.shape[1] - narrow.shape[1] - left, cv2.BORDER_REPLICATE)
    planes = rgb_to_planes(np.ascontiguousarray(shown), "bt601", full_range=False)
    face = detector.find(View(y=planes.y, u=planes.u, v=planes.v, matrix="bt601"))[0]
    points = mesh.landmarks(shown, roi_from_points(mesh.landmarks(shown, face.roi()).points)).points
    shown = np.clip(shown * np.array([0.62, 0.5, 0.42]), 0, 255).astype(np.uint8)
    height = float(face_height(points))
    for corners in ((33, 133), (362, 263)):
        outer, inner = (points[corner, :2] for corner in corners)
        middle = ((outer + inner) / 2).astype(int).tolist()
        cv2.ellipse(shown, middle, (int(height * 0.15), int(height * 0.12)), 0, 0, 360, (15, 15, 15), -1)
    brow = points[[70, 300], :2].mean(axis=0).astype(int).tolist()
    cv2.line(shown, (brow[0] - int(height * 0.3), brow[1]), (brow[0] + int(height * 0.3), brow[1]), (20, 15, 10), 3)
    return shown


def apertures(path: Path) -> list[tuple[float, npt.NDArray[np.float64]]]:
    """How far each face's mouth is open in each frame, over the face's height, with how far right it is in the first.

    A face that is there from the first frame to the last counts; from left to right.
    """
    tracks = FaceTracks(detector=FaceDetector(), mesh=FaceMesh())
    found: dict[int, list[float]] = {}
    across: dict[int, float] = {}
    with FrameReader(path, MediaLimits()) as reader:
        frames = 0
        for frame in reader:
            planes, source = frame.planes, reader.source
            view = View(y=planes.y, u=planes.u, v=planes.v, matrix=source.matrix, full_range=source.full_range)
            for seen in tracks.step(view, frame.time_us).seen:
                gap = np.linalg.norm(seen.points[13, :2] - seen.points[14, :2]) / seen.height
                found.setdefault(seen.number, []).append(float(gap))
                across.setdefault(seen.number, seen.place.x / source.width)
            frames += 1
    whole = [(across[number], np.array(curve)) for number, curve in found.items() if len(curve) == frames]
    return sorted(whole, key=lambda one: one[0])
