from collections.abc import Callable
from functools import partial

import pytest

from edge_gateway.jobs.faces import FaceAsk
from edge_gateway.jobs.profile import choose, for_rate, least_bits_s
from shared.media.profile import BALANCED, FAST_LINK, PROFILES, THIN, LinkProfile

ALL = tuple(PROFILES.values())
ASK: Callable[..., FaceAsk] = partial(
    FaceAsk, video="a" * 64, crop_px=320, crop_scale=1.6, segment_s=2.0, frame_pixels=9_437_184
)


class Shelf:
    def __init__(self, **crops: int) -> None:
        self.crops = {ASK(crop=PROFILES[name.replace("_", "-")].crop).key: count for name, count in crops.items()}

    def crops_on_disk(self, ask: FaceAsk) -> int:
        return self.crops.get(ask.key, 0)


class Link:
    def __init__(self, bits_s: float) -> None:
        self.bits_s = bits_s
        self.asked = 0

    async def rate(self) -> float:
        self.asked += 1
        return self.bits_s


def test_faces_under_different_profiles_are_different_faces() -> None:
    assert len({ASK(crop=profile.crop).key for profile in PROFILES.values()}) == 3


@pytest.mark.parametrize(
    ("mbit_s", "profile"),
    [(0.1, THIN), (1, THIN), (10, BALANCED), (100, FAST_LINK), (5000, FAST_LINK)],
)
async def test_the_measured_rate_decides(mbit_s: float, profile: LinkProfile) -> None:
    link = Link(mbit_s * 1e6)
    assert await choose(ALL, Shelf(), ASK, link) is profile
    assert link.asked == 1


def test_the_thresholds_fall_from_profile_to_profile() -> None:
    limits = [least_bits_s(profile) for profile in PROFILES.values()]
    assert limits == sorted(limits, reverse=True)
    assert [for_rate(limit, ALL) for limit in limits] == list(ALL)
    assert for_rate(0, ALL) is THIN


async def test_no_better_profile_is_chosen_than_the_operator_allows() -> None:
    assert await choose(ALL[1:], Shelf(fast_link=9), ASK, Link(1e9)) is BALANCED
    assert await choose(ALL[1:], Shelf(), ASK, Link(1e6)) is THIN


async def test_the_operators_word_counts_before_all() -> None:
    link = Link(1e9)
    assert await choose([THIN], Shelf(fast_link=9), ASK, link) is THIN
    assert link.asked == 0


async def test_a_face_that_was_cut_is_used_again_whatever_the_link() -> None:
    link = Link(1e9)
    assert await choose(ALL, Shelf(thin=2), ASK, link) is THIN
    assert await choose(ALL, Shelf(balanced=5, thin=2), ASK, link) is BALANCED
    assert link.asked == 0
