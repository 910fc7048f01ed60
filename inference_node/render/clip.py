"""From the bytes of a crop segment to frames with landmarks, and from painted patches to bytes. For worker threads."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from inference_node.engine.port import FaceFrames, Patch, Pixels, Points, RenderedFrames
from inference_node.render.cover import covered
from inference_node.render.gauge import UNSEEN, lips_seen, shown
from inference_node.render.messages import JobSpec, Offer
from inference_node.render.turn import Angles, seen_yaw
from shared.errors import InvalidMediaError
from shared.face.mesh import FaceMesh
from shared.face.smooth import smooth
from shared.media.encode import ColourTags, encode_video, encoding_of
from shared.media.planes import Planes, planes_to_rgb, rgb_to_planes
from shared.media.video import decode_video

Masks = npt.NDArray[np.float32]

_THREAD = threading.local()
_MARGIN = 1.06
"""How far around a mask, whose soft border lies inside of it, the picture stays as it was painted."""
_GREY = (128, 128, 128)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CropFrames:
    """The frames of a crop segment, without its context.

    ``crops`` is uint8 [N, P, P, 3] RGB, ``landmarks`` float32 [N, 468, 2] in its pixels, ``scores`` float32 [N],
    ``yaws`` float32 [N] as :func:`~inference_node.render.turn.seen_yaw` gives them, ``covered`` bool [N].
    """

    crops: Pixels
    landmarks: Points
    scores: npt.NDArray[np.float32]
    yaws: Angles
    covered: npt.NDArray[np.bool_]
    """Where something lies before the mouth."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        parts = (self.crops, self.landmarks, self.scores, self.yaws, self.covered)
        return sum(part.nbytes for part in parts)


def read_pictures(data: bytes, offer: Offer, spec: JobSpec) -> list[Pixels]:
    """Decode a crop segment with its context to RGB.

    Raises:
        InvalidMediaError: it is not what was announced.
    """
    expected = offer.lead_frames + offer.frame_count + offer.trail_frames
    frames = decode_video(data, max_frames=expected, max_pixels=spec.crop_px**2)
    if len(frames) != expected:
        raise InvalidMediaError(
            f"Crop segment {offer.crop_index} holds {len(frames)} frames and should hold {expected}.", field="crop"
        )
    if any((planes.width, planes.height) != (spec.crop_px, spec.crop_px) for planes in frames):
        raise InvalidMediaError(f"Crop segment {offer.crop_index} is not {spec.crop_px} pixels square.", field="crop")
    return [planes_to_rgb(planes, spec.matrix, full_range=spec.full_range) for planes in frames]


def find_faces(pictures: list[Pixels], offer: Offer) -> CropFrames:
    """Find and smooth the landmarks of a crop segment; the context is used and left out."""
    mesh = _mesh()
    found = [mesh.crop_landmarks(picture) for picture in pictures]
    raw = np.stack([one.points for one in found])
    points = smooth(raw, lead=offer.lead_frames, trail=offer.trail_frames)
    kept = slice(offer.lead_frames, offer.lead_frames + offer.frame_count)
    return CropFrames(
        crops=np.stack(pictures[kept]),
        landmarks=np.ascontiguousarray(points[..., :2]),
        scores=np.array([one.score for one in found[kept]], dtype=np.float32),
        yaws=seen_yaw(points),
        covered=covered(pictures, raw, lead=offer.lead_frames, trail=offer.trail_frames),
    )


def look_at_lips(
    frames: FaceFrames, painted: RenderedFrames, patch: Patch, wanted: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """The apertures that painted frames show, float32 [N].

    ``UNSEEN`` where it was not wanted, nothing was painted or no face is left.
    """
    mesh = _mesh()
    seen = np.full(len(wanted), UNSEEN, dtype=np.float32)
    for row in np.flatnonzero(wanted & (painted.masks[:, 2] > 0)):
        picture = shown(frames.crops[row], painted.patches[row], painted.masks[row], patch)
        seen[row] = lips_seen(mesh, picture, frames.landmarks[row])
    return seen


def _mesh() -> FaceMesh:
    """The network of this thread; an instance belongs to one."""
    mesh: FaceMesh | None = getattr(_THREAD, "mesh", None)
    if mesh is None:
        mesh = _THREAD.mesh = FaceMesh()
    return mesh


def encode_patches(patches: Pixels, masks: Masks, times_us: tuple[int, ...], *, patch: Patch, spec: JobSpec) -> bytes:
    """Encode painted patches; what lies outside of the masks is not looked at by anybody and is made cheap."""
    outside = [_outside(mask, patch, spec.crop_px) for mask in masks]
    flat: tuple[int, int, int] | None = None

    def pictures() -> Iterator[Planes]:
        nonlocal flat
        for rgb, unseen in zip(patches, outside, strict=True):
            planes = rgb_to_planes(rgb, spec.matrix, full_range=spec.full_range)
            if flat is None and not unseen.all():
                flat = _mean_colour(planes, ~unseen)
            yield _flattened(planes, unseen, flat or _GREY)

    encoding = encoding_of(
        spec.patch,
        rate=_mean_rate(times_us),
        colour=ColourTags.of(spec.matrix, full_range=spec.full_range),
        b_frames=False,  # they would take half a decibel for the bytes that they save
    )
    return encode_video(pictures(), [time - times_us[0] for time in times_us], encoding)


def _mean_rate(times_us: tuple[int, ...]) -> Fraction:
    span = times_us[-1] - times_us[0]
    if len(times_us) < 2 or span <= 0:
        return Fraction(25)
    return Fraction((len(times_us) - 1) * 1_000_000, span).limit_denominator(1001)


def _outside(mask: Masks, patch: Patch, crop_px: int) -> npt.NDArray[np.bool_]:
    """Which chroma samples of a patch (bool [height / 2, width / 2]) nobody looks at."""
    center_x, center_y, radius_x, radius_y, angle, _feather = (float(value) for value in mask)
    height, width = patch.height // 2, patch.width // 2
    if radius_x <= 0 or radius_y <= 0:
        return np.ones((height, width), dtype=np.bool_)
    across = (patch.x + 2 * np.arange(width, dtype=np.float32) + 1) / crop_px - center_x
    down = (patch.y + 2 * np.arange(height, dtype=np.float32)[:, None] + 1) / crop_px - center_y
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = (across * cos + down * sin) / radius_x
    up = (down * cos - across * sin) / radius_y
    return np.asarray(np.hypot(along, up) > _MARGIN)


def _mean_colour(planes: Planes, inside: npt.NDArray[np.bool_]) -> tuple[int, int, int]:
    """One colour for a whole segment, near the painted one: a border that is hardly there costs hardly anything."""
    luma = planes.y[_doubled(inside)]
    return round(float(luma.mean())), round(float(planes.u[inside].mean())), round(float(planes.v[inside].mean()))


def _flattened(planes: Planes, unseen: npt.NDArray[np.bool_], colour: tuple[int, int, int]) -> Planes:
    y, u, v = planes.y.copy(), planes.u.copy(), planes.v.copy()
    y[_doubled(unseen)], u[unseen], v[unseen] = colour
    return Planes(y=y, u=u, v=v)


def _doubled(samples: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return samples.repeat(2, axis=0).repeat(2, axis=1)
