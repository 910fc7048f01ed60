import hashlib
from dataclasses import replace

import pytest

from inference_node.render.intake import Intake, check_order
from inference_node.render.limits import StreamLimits
from inference_node.render.messages import JobSpec, Offer, Order
from shared.errors import InvalidInputError, LimitExceededError
from shared.media.planes import Matrix
from shared.media.profile import BALANCED

SPEECH = b"speech" * 10
CROP = b"crop" * 100
LIMITS = StreamLimits(max_crop_segments=3, max_open_crops=1, max_crop_bytes=1000, max_segment_frames=60)
SPEC = JobSpec(
    job_id="job",
    engine="",
    crop_px=128,
    matrix=Matrix.BT709,
    full_range=False,
    speech_digest=hashlib.sha256(SPEECH).digest(),
    speech_bytes=len(SPEECH),
    total_segments=2,
    patch=BALANCED.patch,
)
OFFER = Offer(
    crop_index=0,
    digest=hashlib.sha256(CROP).digest(),
    size_bytes=len(CROP),
    first_frame=0,
    frame_count=50,
    lead_frames=0,
    trail_frames=2,
)
ORDER = Order(segment_index=0, source_frames=(0, 1), times_us=(0, 40_000), has_face=(True, True), reference_crops=(0,))


def test_pieces_become_the_whole() -> None:
    intake = Intake(SPEC, LIMITS)
    intake.offer(OFFER)
    assert intake.crop_piece(0, 0, CROP[:150]) is None
    assert intake.crop_piece(0, 150, CROP[150:]) == (OFFER, CROP)
    assert intake.speech_piece(0, SPEECH) == SPEECH


def test_a_crop_may_begin_anew() -> None:
    intake = Intake(SPEC, LIMITS)
    intake.offer(OFFER)
    intake.crop_piece(0, 0, CROP[:150])
    assert intake.crop_piece(0, 0, CROP) == (OFFER, CROP)


def test_frames_are_found_where_they_are() -> None:
    intake = Intake(SPEC, LIMITS)
    intake.offer(replace(OFFER, crop_index=1, first_frame=50, frame_count=10))
    assert intake.place(3) is None
    intake.offer(OFFER)
    assert [intake.place(frame) for frame in (0, 49, 50, 59, 60)] == [(0, 0), (0, 49), (1, 0), (1, 9), None]
    assert intake.offers([0, 7]) is None


def test_a_job_has_a_short_name() -> None:
    with pytest.raises(LimitExceededError) as caught:
        Intake(replace(SPEC, job_id="x" * 129), LIMITS)
    assert caught.value.field == "job_id"


def test_an_order_refers_to_a_bounded_number_of_crops() -> None:
    limits = replace(LIMITS, max_order_crops=2)
    intake = Intake(SPEC, limits)
    for index in range(3):
        intake.offer(replace(OFFER, crop_index=index, first_frame=50 * index))
    assert set(intake.offers([0, 1, 0, 1]) or {}) == {0, 1}
    with pytest.raises(LimitExceededError) as frames:
        intake.offers([0, 1, 2])
    assert frames.value.limit == "max_order_crops"
    with pytest.raises(LimitExceededError) as references:
        check_order(replace(ORDER, reference_crops=(0,) * 3), limits)
    assert references.value.field == "order.reference_crops"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"digest": b"short"}, InvalidInputError),
        ({"size_bytes": 1001}, LimitExceededError),
        ({"size_bytes": 0}, InvalidInputError),
        ({"frame_count": 61}, LimitExceededError),
        ({"lead_frames": 9}, LimitExceededError),
    ],
)
def test_an_offer_beyond_reason_is_refused(change: dict[str, int], kind: type[InvalidInputError]) -> None:
    with pytest.raises(kind):
        Intake(SPEC, LIMITS).offer(replace(OFFER, **change))


def test_too_many_crop_segments_are_refused_by_name() -> None:
    intake = Intake(SPEC, LIMITS)
    for index in range(3):
        intake.offer(replace(OFFER, crop_index=index, first_frame=50 * index))
    with pytest.raises(LimitExceededError) as refused:
        intake.offer(replace(OFFER, crop_index=3, first_frame=150))
    assert refused.value.limit == "max_crop_segments"


def test_crops_that_arrive_all_at_once_are_refused() -> None:
    intake = Intake(SPEC, LIMITS)
    intake.offer(OFFER)
    intake.offer(replace(OFFER, crop_index=1, first_frame=50))
    intake.crop_piece(0, 0, CROP[:10])
    with pytest.raises(LimitExceededError):
        intake.crop_piece(1, 0, CROP[:10])


def test_bytes_of_crops_that_arrive_are_bounded_and_room_comes_back_with_a_whole_one() -> None:
    intake = Intake(SPEC, replace(LIMITS, max_open_crops=8, max_open_bytes=2 * len(CROP)))
    for index in range(3):
        intake.offer(replace(OFFER, crop_index=index, first_frame=50 * index))
    intake.crop_piece(0, 0, CROP[:10])
    intake.crop_piece(1, 0, CROP[:10])
    with pytest.raises(LimitExceededError) as refused:
        intake.crop_piece(2, 0, CROP[:10])
    assert refused.value.limit == "max_open_bytes"
    assert intake.crop_piece(0, 10, CROP[10:]) is not None
    assert intake.crop_piece(2, 0, CROP[:10]) is None


@pytest.mark.parametrize(
    ("offset", "data"), [(5, CROP[5:]), (0, CROP + b"more"), (0, b"x" * len(CROP)), (0, b"x" * ((1 << 20) + 1))]
)
def test_bytes_that_are_not_what_was_announced_are_refused(offset: int, data: bytes) -> None:
    intake = Intake(SPEC, LIMITS)
    intake.offer(OFFER)
    with pytest.raises(InvalidInputError):
        intake.crop_piece(0, offset, data)


def test_a_crop_that_was_not_offered_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        Intake(SPEC, LIMITS).crop_piece(0, 0, CROP)


@pytest.mark.parametrize(
    "change",
    [
        {"source_frames": ()},
        {"times_us": (0,)},
        {"has_face": (True,)},
        {"times_us": (40_000, 0)},
        {"source_frames": tuple(range(61)), "times_us": tuple(range(61)), "has_face": (True,) * 61},
        {"segment_index": 1 << 20},
    ],
)
def test_an_order_beyond_reason_is_refused(change: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(InvalidInputError):
        check_order(replace(ORDER, **change), LIMITS)


def test_speech_beyond_the_limit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(LimitExceededError) as refused:
        Intake(replace(SPEC, speech_bytes=LIMITS.max_speech_bytes + 1), LIMITS)
    assert refused.value.limit == "max_speech_bytes"
