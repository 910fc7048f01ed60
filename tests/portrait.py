"""The demo's portrait as a crop, and what may be wrong with a face: turned to the side, behind a mask, drawn."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_gateway.face.detector import FaceDetector
from edge_gateway.face.view import View
from shared.face.mesh import FaceMesh, Points, roi_from_points
from shared.media.planes import Matrix, rgb_to_planes

Pixels = npt.NDArray[np.uint8]

PORTRAIT = Path(__file__).resolve().parents[1] / "deploy" / "demo" / "portrait.jpg"
CROP_PX = 320
_SCALE = 1.6
_JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
_MASK = (*_JAW, 280, 195, 50)
_PIVOT = 0.5
"""How far behind the face it turns, as a share of its half width."""


def portrait_crop() -> Pixels:
    """The demo's portrait as an edge would cut it, uint8 [320, 320, 3] RGB."""
    picture = np.asarray(cv2.imread(str(PORTRAIT))[:, :, ::-1])
    planes = rgb_to_planes(np.ascontiguousarray(picture), Matrix.BT601, full_range=True)
    face = next(iter(FaceDetector().find(View(y=planes.y, u=planes.u, v=planes.v, full_range=True))))
    mesh = FaceMesh()
    points = mesh.landmarks(picture, roi_from_points(mesh.landmarks(picture, face.roi()).points)).points
    half = round(_SCALE * float(np.linalg.norm(points[10, :2] - points[152, :2])) / 2)
    left, top = (points[[10, 152], :2].mean(axis=0)).astype(int)
    bordered = cv2.copyMakeBorder(picture, half, half, half, half, cv2.BORDER_REPLICATE)
    cut = bordered[top : top + 2 * half, left : left + 2 * half]
    return np.asarray(cv2.resize(cut, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def turned(crop: Pixels, points: Points, degrees: float) -> Pixels:
    """The crop with its face (FaceMesh points, [468, 3]) turned to the side; what is behind it is blurred."""
    angle = np.radians(degrees)
    source = points.astype(np.float64)
    middle, reach = source.mean(axis=0), np.abs(source[:, 0] - source[:, 0].mean()).max() * _PIVOT
    pivot = middle + np.array([0.0, 0.0, reach])
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    moved = (source - pivot) @ turn.T + pivot
    out = cv2.GaussianBlur(crop, (0, 0), 25)
    triangles = _triangles(source[:, :2].astype(np.float32))
    for corners in triangles[np.argsort(-moved[triangles][:, :, 2].mean(axis=1))]:  # the farthest first
        _draw(out, crop, source[corners, :2].astype(np.float32), moved[corners, :2].astype(np.float32))
    return np.asarray(out, dtype=np.uint8)


def masked(crop: Pixels, points: Points, colour: tuple[int, int, int]) -> Pixels:
    """The crop with a mask over mouth and nose, with folds."""
    out = crop.copy()
    cv2.fillConvexPoly(out, cv2.convexHull(points[list(_MASK), :2].astype(np.int32)), colour)
    for fold in (-14, 0, 14):
        left, right = points[61, :2] + (-25, fold), points[291, :2] + (25, fold)
        darker = tuple(round(0.8 * level) for level in colour)
        cv2.line(out, tuple(left.astype(int).tolist()), tuple(right.astype(int).tolist()), darker, 2)
    return out


def drawn(crop: Pixels) -> Pixels:
    """The crop as a cartoon: flat colours, black lines."""
    flat = crop
    for _ in range(3):
        flat = np.asarray(cv2.bilateralFilter(flat, 9, 60, 9), dtype=np.uint8)
    flat = flat // 32 * 32 + 16
    grey = cv2.medianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), 7)
    flat[cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 4) == 0] = 0
    return flat


def _draw(out: Pixels, crop: Pixels, source: Points, target: Points) -> None:
    if np.sign(_area(source)) != np.sign(_area(target)):
        return  # seen from behind
    low = np.clip(np.floor(target.min(axis=0)).astype(int) - 1, 0, CROP_PX - 1)
    high = np.clip(np.ceil(target.max(axis=0)).astype(int) + 2, 1, CROP_PX)
    size = high - low
    if (size < 1).any():
        return
    way = cv2.getAffineTransform(source, (target - low).astype(np.float32))
    piece = cv2.warpAffine(crop, way, (int(size[0]), int(size[1])), borderMode=cv2.BORDER_REPLICATE)
    inside = np.zeros((int(size[1]), int(size[0])), np.uint8)
    cv2.fillConvexPoly(inside, np.round((target - low) * 16).astype(np.int32), 255, cv2.LINE_8, 4)
    inside = cv2.dilate(inside, np.ones((2, 2), np.uint8))
    out[low[1] : high[1], low[0] : high[0]][inside > 0] = piece[inside > 0]


def _area(corners: Points) -> float:
    one, other = corners[1] - corners[0], corners[2] - corners[0]
    return float(one[0] * other[1] - one[1] * other[0])


def _triangles(plane: Points) -> npt.NDArray[np.intp]:
    low, high = plane.min(axis=0) - 5, plane.max(axis=0) + 5
    mesh = cv2.Subdiv2D((int(low[0]), int(low[1]), int(high[0] - low[0]) + 2, int(high[1] - low[1]) + 2))
    for point in plane:
        mesh.insert((float(point[0]), float(point[1])))
    found = []
    for corners in mesh.getTriangleList().reshape(-1, 3, 2):
        nearest = [int(np.square(plane - corner).sum(axis=1).argmin()) for corner in corners]
        is_ours = all(np.square(plane[at] - corner).sum() < 1 for at, corner in zip(nearest, corners, strict=True))
        if is_ours and len(set(nearest)) == 3:
            found.append(nearest)
    return np.array(found)
