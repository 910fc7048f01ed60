"""How far a mouth is open, frame by frame, and how well one mouth follows another.

The measure is the mean distance of the inner lips (FaceMesh 82-87, 13-14, 312-317) over the face's height (10-152),
sampled at 25 frames a second, less its moving mean of one second. Two such curves are compared by their correlation at
lags of -10 to 10 frames.
"""

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from edge_gateway.face.detector import FaceDetector
from edge_gateway.face.track import FaceTracker
from edge_gateway.face.view import View
from shared.face.mesh import FaceMesh
from shared.media.limits import MediaLimits
from shared.media.video import FrameReader

RATE = 25
LAGS = 10
UPPER = (82, 13, 312)
LOWER = (87, 14, 317)

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well a rendered mouth follows the true one."""

    peak: float
    lag_frames: int
    """Positive where the rendered mouth comes late, in frames of 1/25 s."""
    amplitude: float
    """Standard deviation of the rendered curve over the true one's."""


def aperture(points: npt.NDArray[np.float32]) -> float:
    """Mean distance of the inner lips over the face's height, from float32 [468, 2 or 3] points."""
    plane = points[:, :2].astype(np.float64)
    gap = np.mean([np.linalg.norm(plane[upper] - plane[lower]) for upper, lower in zip(UPPER, LOWER, strict=True)])
    return float(gap / np.linalg.norm(plane[10] - plane[152]))


def mouth_points(path: Path) -> tuple[Curve, list[npt.NDArray[np.float32] | None]]:
    """Times in seconds and FaceMesh points (None without a face) of every frame of a video."""
    tracker = FaceTracker(detector=FaceDetector(), mesh=FaceMesh())
    times: list[float] = []
    found: list[npt.NDArray[np.float32] | None] = []
    with FrameReader(path, MediaLimits()) as reader:
        for frame in reader:
            view = View(y=frame.planes.y, u=frame.planes.u, v=frame.planes.v)
            times.append(frame.time_us / 1e6)
            found.append(tracker.step(view, frame.time_us).points)
    return np.array(times), found


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A mouth as FaceMesh read it: the apertures of those frames that show a face, at their times in seconds."""

    times: Curve
    apertures: Curve

    @property
    def curve(self) -> Curve:
        """The aperture at ``RATE`` frames a second from the video's beginning; gaps are bridged."""
        return np.interp(np.arange(0.0, float(self.times[-1]), 1 / RATE), self.times, self.apertures)

    def between(self, start_s: float, end_s: float) -> Curve:
        """The apertures of the frames from one time to another."""
        return self.apertures[(self.times >= start_s) & (self.times <= end_s)]


def read_mouth(path: Path) -> Reading:
    """Read the mouth of a video's face."""
    times, found = mouth_points(path)
    seen = [(time, aperture(points)) for time, points in zip(times, found, strict=True) if points is not None]
    if not seen:
        raise ValueError(f"{path.name}: no face")
    return Reading(times=np.array([time for time, _ in seen]), apertures=np.array([value for _, value in seen]))


def aperture_curve(path: Path) -> Curve:
    """The aperture of a video's face at ``RATE`` frames a second."""
    return read_mouth(path).curve


def lively(curve: Curve) -> Curve:
    """The curve less its moving mean of one second."""
    weight = np.convolve(np.ones(len(curve)), np.ones(RATE), mode="same")
    return curve - np.convolve(curve, np.ones(RATE), mode="same") / weight


def agreement(rendered: Curve, truth: Curve) -> Agreement:
    """Compare a rendered curve with the true one, over what both cover."""
    length = min(len(rendered), len(truth))
    ours, theirs = lively(rendered[:length]), lively(truth[:length])
    best_peak, best_lag = -1.0, 0
    for lag in range(-LAGS, LAGS + 1):
        left = ours[max(0, lag) : length + min(0, lag)]
        right = theirs[max(0, -lag) : length + min(0, -lag)]
        value = float(np.corrcoef(left, right)[0, 1])
        if value > best_peak:
            best_peak, best_lag = value, lag
    return Agreement(peak=best_peak, lag_frames=best_lag, amplitude=float(ours.std() / theirs.std()))


def sheet(source: Path, result: Path, target: Path, *, every: int = 10, columns: int = 12, side: int = 200) -> None:
    """Write a picture of faces: the source's frames above, the result's below, every ``every``-th frame."""
    rows = []
    for path in (source, result):
        _, found = mouth_points(path)
        faces = []
        with av.open(str(path)) as video:
            for index, frame in enumerate(video.decode(video=0)):
                if index % every or len(faces) == columns:
                    continue
                picture = frame.to_ndarray(format="bgr24")
                points = found[index]
                if points is None:
                    faces.append(np.zeros((side, side, 3), np.uint8))
                    continue
                centre, height = points[[10, 152], :2].mean(axis=0), np.linalg.norm(points[10, :2] - points[152, :2])
                left, top = np.maximum(centre - height * 0.75, 0).astype(int)
                cut = picture[top : top + int(height * 1.5), left : left + int(height * 1.5)]
                faces.append(cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA))
        rows.append(np.hstack(faces + [np.zeros((side, side, 3), np.uint8)] * (columns - len(faces))))
    cv2.imwrite(str(target), np.vstack(rows))
