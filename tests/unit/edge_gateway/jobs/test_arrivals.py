import hashlib
from dataclasses import replace

import pytest

from edge_gateway.jobs.arrivals import Arrivals
from edge_gateway.jobs.node import Fate, Lips, RenderedCard, RenderedPiece
from shared.errors import InternalError, NodeUnavailableError


def card(data: bytes, size: int | None = None) -> RenderedCard:
    return RenderedCard(
        digest=hashlib.sha256(data).digest(),
        size_bytes=len(data) if size is None else size,
        patch=(0, 0, 2, 2),
        masks=(),
        queue_s=0,
        infer_s=0,
    )


def piece(segment: int, offset: int, data: bytes, whole: bytes | None = None) -> RenderedPiece:
    return RenderedPiece(segment=segment, offset=offset, data=data, card=None if whole is None else card(whole))


def test_segments_may_arrive_side_by_side() -> None:
    arrivals = Arrivals(segment_bytes=8, crop_px=320)
    assert arrivals.take(piece(0, 0, b"ab"), 0) is None
    assert arrivals.take(piece(1, 0, b"12"), 0) is None
    for _ in range(3):
        arrived = arrivals.take(piece(0, 2, b"cd", b"abcd"), 0)
        assert arrived is not None
        assert arrived.data == b"abcd"
        assert arrivals.take(piece(0, 0, b"ab"), 0) is None


def test_what_is_not_whole_is_bounded_however_it_is_cut() -> None:
    arrivals = Arrivals(segment_bytes=8, crop_px=320)
    for segment in range(4):
        assert arrivals.take(piece(segment, 0, b"ab"), 0) is None
    with pytest.raises(InternalError, match="larger than 8 bytes"):
        arrivals.take(piece(4, 0, b"a"), 0)


def test_pieces_that_do_not_follow_each_other_are_refused() -> None:
    arrivals = Arrivals(segment_bytes=8, crop_px=320)
    arrivals.take(piece(0, 0, b"ab"), 0)
    with pytest.raises(InternalError, match="at 3, not 2"):
        arrivals.take(piece(0, 3, b"d"), 0)


def test_damage_on_the_way_is_mended_by_asking_again() -> None:
    with pytest.raises(NodeUnavailableError, match="damaged"):
        Arrivals(segment_bytes=8, crop_px=320).take(piece(0, 0, b"ab", b"ax"), 0)


@pytest.mark.parametrize(
    "lips",
    [Lips(seen=(0.1, 0.1)), Lips(asked=(0.1, 0.1)), Lips(fates=(Fate.HIDDEN,) * 2), Lips(asked=(float("nan"),))],
)
def test_lips_of_other_frames_and_lips_that_are_no_numbers_are_refused(lips: Lips) -> None:
    told = replace(card(b"ab"), masks=((0.0,) * 6,), lips=lips)
    whole = RenderedPiece(segment=0, offset=0, data=b"ab", card=told)
    with pytest.raises(InternalError, match="segment 0"):
        Arrivals(segment_bytes=8, crop_px=320).take(whole, 1)
