"""Following the face that is painted through a video, frame by frame."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_gateway.face.detector import FaceDetector
from edge_gateway.face.lead import Choice, Lead
from edge_gateway.face.look import Looks
from edge_gateway.face.speaker import Hint
from edge_gateway.face.tracks import FaceTracks
from edge_gateway.face.view import View
from shared.face.mesh import FaceMesh, Points


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was seen in one frame.

    ``points`` is float32 [468, 3] in pixels of the frame, None without a face, and ``who`` the person whose it is, from
    0. ``cut`` is true where the face does not go on from the frame before. ``searched`` is true where a detector looked
    through the whole frame.
    """

    points: Points | None
    cut: bool
    searched: bool
    who: int = 0


class FaceTracker:
    """Follows one of the faces. Takes every frame in order; the answer needs no later ones.

    Args:
        detector: Finds faces.
        mesh: Fits their points.
        choices: Whose face is followed; none for the largest.
        others: Looks of people who are certainly not meant.
        hints: Where to look closer.
    """

    def __init__(
        self,
        *,
        detector: FaceDetector,
        mesh: FaceMesh,
        choices: Sequence[Choice] = (),
        others: Sequence[Looks] = (),
        hints: Iterable[Hint] = (),
    ) -> None:
        self._tracks = FaceTracks(detector=detector, mesh=mesh, hints=hints)
        self._lead = Lead(choices, others)

    def step(self, view: View, time_us: int) -> Sighting:
        """Look at the next frame."""
        faces = self._tracks.step(view, time_us)
        led = self._lead.pick(faces, time_us)
        if led is None:
            return Sighting(points=None, cut=faces.cut, searched=faces.searched)
        return Sighting(points=led.seen.points, cut=faces.cut or led.is_new, searched=faces.searched, who=led.who)
