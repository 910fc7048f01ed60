import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_gateway.face.speaker import Place, Position, Speaker
from edge_gateway.prepare import LookedAt, prepare
from shared.errors import InvalidInputError, LimitExceededError, NoFaceError
from shared.media.encode import ColourTags, Encoding, encode_video
from shared.media.planes import Planes, rgb_to_planes
from shared.media.sandbox import ChildLimits, Message, Reach, Sandbox
from shared.media.video import decode_video
from tests.cast import beside, pictures, somebody_else
from tests.cast import film as film_of

PORTRAIT = Path(__file__).resolve().parents[3] / "deploy" / "demo" / "portrait.jpg"
FRAME_US = 40_000


class Recorder:
    """A channel whose messages are kept."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        self.messages.append(Message(header=header, payload=payload))

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message.header["kind"] == kind]


def clip(path: Path, faces: list[bool]) -> Path:
    """A small video in which the demo portrait drifts over a grey wall where ``faces`` says so."""
    portrait = cv2.resize(cv2.imread(str(PORTRAIT)), (240, 240), interpolation=cv2.INTER_AREA)[..., ::-1]

    def frame(index: int, *, face: bool) -> Planes:
        rgb = np.full((256, 320, 3), 90, np.uint8)
        if face:
            left = 20 + index % 40
            rgb[8:248, left : left + 240] = portrait
        return rgb_to_planes(rgb, "bt601", full_range=False)

    encoding = Encoding(rate=Fraction(25), crf=20, preset="ultrafast", colour=ColourTags.of("bt601", full_range=False))
    pictures = (frame(index, face=face) for index, face in enumerate(faces))
    path.write_bytes(encode_video(pictures, [index * FRAME_US for index in range(len(faces))], encoding))
    return path


def arguments(path: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "crop_px": 128, "crop_scale": 1.6, "segment_seconds": 1.0, "limits": {}} | more


def prepared(path: Path, **more: Any) -> Recorder:
    recorder = Recorder()
    prepare(recorder, arguments(path, **more))
    return recorder


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("film") / "film", [True] * 40 + [False] * 20 + [True] * 10)


@pytest.fixture(scope="module")
def told(film: Path) -> Recorder:
    return prepared(film)


def test_first_the_source_is_described_and_last_its_end(told: Recorder) -> None:
    first, last = told.messages[0].header, told.messages[-1].header

    assert {key: first[key] for key in ("kind", "width", "height", "matrix", "full_range", "rate")} == {
        "kind": "source",
        "width": 320,
        "height": 256,
        "matrix": "bt601",
        "full_range": False,
        "rate": [25, 1],
    }
    assert (last["kind"], last["frames"], last["end_us"]) == ("end", 70, 70 * FRAME_US)
    assert 44 <= last["face_frames"] <= 54
    assert last["looked_at_s"][0] == 0.0


def test_each_segment_holds_its_frames_and_their_context(told: Recorder) -> None:
    crops = told.of("crop")

    shapes = [[crop.header[key] for key in ("index", "first_frame", "frame_count", "lead", "trail")] for crop in crops]
    # A face that comes or goes from one frame to the next is a cut.
    assert shapes == [[0, 0, 25, 0, 2], [1, 25, 15, 2, 0], [2, 40, 20, 0, 0], [3, 60, 10, 0, 0]]
    for crop in crops:
        header = crop.header
        frames = decode_video(crop.payload, max_frames=100, max_pixels=128 * 128)
        assert len(frames) == header["frame_count"] + header["lead"] + header["trail"]
        assert {(frame.width, frame.height) for frame in frames} == {(128, 128)}
        assert len(header["times_us"]) == len(header["boxes"]) == len(header["has_face"]) == header["frame_count"]
        assert header["digest"] == hashlib.sha256(crop.payload).hexdigest()


def test_frames_without_a_face_are_marked_and_keep_their_box(told: Recorder) -> None:
    has_face = [face for crop in told.of("crop") for face in crop.header["has_face"]]
    sides = [box[2] for crop in told.of("crop") for box in crop.header["boxes"]]

    assert all(has_face[:40])
    assert not any(has_face[41:60])
    assert all(has_face[63:])
    assert max(sides) / min(sides) < 1.2


def test_the_context_is_the_neighbours_own_pictures(told: Recorder) -> None:
    one, two = (decode_video(crop.payload, max_frames=100, max_pixels=1 << 20) for crop in told.of("crop")[:2])

    for ours, theirs in zip(one[-4:], two[:4], strict=True):
        assert np.abs(ours.y.astype(int) - theirs.y).mean() < 4


def test_what_is_there_already_is_skipped_and_the_rest_is_the_same(film: Path, told: Recorder) -> None:
    rest = prepared(film, skip_segments=2)

    assert [(crop.header, crop.payload) for crop in rest.of("crop")] == [
        (crop.header, crop.payload) for crop in told.of("crop")[2:]
    ]
    assert rest.messages[-1] == told.messages[-1]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people side by side for two seconds; after one they change sides."""
    one = pictures(PORTRAIT, width=240, height=240, count=25)
    other = somebody_else(one[:1]) * 25
    return film_of(tmp_path_factory.mktemp("pair") / "pair", beside(one, other) + beside(other, one))


def cast(voice: int, *speakers: Speaker) -> dict[str, Any]:
    names = [f"face {number}" for number in range(len(speakers))]
    told = [speaker.to_json() for speaker in speakers]
    return {"speakers": told, "speaker_fields": names, "speaker_names": names, "voice": voice}


def sides(told: Recorder) -> str:
    """Where the box of each frame with a face is: left or right; a dash where there is none."""
    return "".join(
        "-" if not face else "LR"[box[0] > 240]
        for crop in told.of("crop")
        for box, face in zip(crop.header["boxes"], crop.header["has_face"], strict=True)
    )


def test_each_face_that_was_asked_for_has_crops_of_its_own(pair: Path) -> None:
    left, right = (Speaker(position=position, together=2) for position in (Position.LEFT, Position.RIGHT))
    one, other = (prepared(pair, **cast(voice, left, right)) for voice in (0, 1))

    assert sides(one) == "L" * 25 + "R" * 25
    assert sides(other) == "R" * 25 + "L" * 25
    assert [crop.header["first_frame"] for crop in one.of("crop")] == [0, 25]
    assert [(crop.header["lead"], crop.header["trail"]) for crop in one.of("crop")] == [(0, 0), (0, 0)]
    rest = prepared(pair, **cast(1, left, right), skip_segments=1)
    assert [crop.payload for crop in rest.of("crop")] == [crop.payload for crop in other.of("crop")[1:]]


def test_places_at_which_nobody_is_are_told_where_somebody_is_at_others(pair: Path) -> None:
    places = tuple(Place(time_us=time_us, x=x, y=70) for time_us, x in ((0, 100), (400_000, 5), (1_200_000, 340)))
    told = prepared(pair, **cast(0, Speaker(places=places)))

    assert told.messages[0].header["missed_places"] == [1]
    assert sides(told) == "L" * 25 + "R" * 25


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        (Place(time_us=0, x=481, y=5), InvalidInputError, "outside the frame of 480x240"),
        (Place(time_us=0, x=5, y=235), NoFaceError, "no face is at the point 5, 235 at 0 s"),
    ],
)
def test_a_place_without_a_face_is_refused(pair: Path, place: Place, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        prepared(pair, **cast(0, Speaker(places=(place,))))
    assert getattr(caught.value, "field", "") == "face 0"


def test_a_photo_is_one_frame() -> None:
    told = prepared(PORTRAIT)

    (crop,) = told.of("crop")
    assert (crop.header["frame_count"], crop.header["has_face"]) == (1, [True])
    assert told.messages[-1].header["frames"] == 1


def test_a_video_without_a_face_is_refused_naming_where_it_was_looked_for(tmp_path: Path) -> None:
    empty = clip(tmp_path / "empty", [False] * 50)

    with pytest.raises(NoFaceError, match=r"looked at 17 frames between 0\.0 s and 1\.9 s") as caught:
        prepared(empty)
    assert caught.value.field == "video"


def test_more_pixels_than_allowed_are_refused_while_decoding(film: Path) -> None:
    with pytest.raises(LimitExceededError) as caught:
        prepared(film, limits={"decoded_pixels": 30 * 320 * 256})
    assert (caught.value.field, caught.value.limit) == ("video", "decoded_pixels")


async def test_it_runs_in_the_sandbox_and_gives_the_same(film: Path, told: Recorder) -> None:
    heard = []
    async with (
        Sandbox() as sandbox,
        sandbox.spawn(prepare, arguments(film, field="video"), ChildLimits(), Reach(reads=(str(film),))) as child,
    ):
        while message := await child.receive():
            heard.append(message)

    assert [message for message in heard if message.header["kind"] == "crop"] == told.of("crop")


def test_of_many_searches_some_times_are_kept_and_all_are_counted() -> None:
    looked = LookedAt()
    for frame in range(3000):
        looked.add(frame * 100_000, searched=True)

    assert len(looked.times_s) <= 64
    assert looked.times_s[0] == 0.0
    assert looked.times_s[-1] > 250
    assert looked.summary() == "looked at 3000 frames between 0.0 s and 299.9 s"


def test_a_tiny_face_in_a_real_clip_is_followed_through_every_frame(shared_media: Path) -> None:
    (path,) = shared_media.glob("v13_*")
    told = prepared(path)

    assert told.messages[-1].header["face_frames"] == told.messages[-1].header["frames"] == 103
