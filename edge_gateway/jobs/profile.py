"""Which link profile a job is done with."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from edge_gateway.jobs.faces import FaceAsk
from shared.media.profile import PROFILES, LinkProfile
from shared.telemetry.logging import get_logger

_LOG = get_logger(__name__)

PACE: Final = 5
"""How many seconds of video a job gets through in a second where nothing holds it up: two cores manage 3."""
JOBS: Final = 2
"""Jobs that share the link: the edge's default of jobs at once."""
SHARE: Final = 0.5
"""What part of the link they may fill; the rest is for uploads and for what others send."""


class Link(Protocol):
    """The way to the node."""

    async def rate(self) -> float:
        """Bits a second that it carries, measured where that is not known."""
        ...


class FacesOnDisk(Protocol):
    """What was cut before."""

    def crops_on_disk(self, ask: FaceAsk) -> int:
        """How many crop segments of a face there are; blocks."""
        ...


def least_bits_s(profile: LinkProfile) -> float:
    """The slowest link on which a profile holds nothing up."""
    return profile.bits_a_second * PACE * JOBS / SHARE


def for_rate(bits_s: float, among: Sequence[LinkProfile]) -> LinkProfile:
    """The best profile that a link carries, among some that stand in order; the last where it carries none."""
    return next((profile for profile in among if bits_s >= least_bits_s(profile)), among[-1])


async def choose(
    among: Sequence[LinkProfile], faces: FacesOnDisk, ask: Callable[..., FaceAsk], link: Link
) -> LinkProfile:
    """Choose for one job.

    A face that was cut before is used again as it is: then only speech crosses the link, which weighs little in any
    profile.

    Args:
        among: What the operator allows, the best first.
        faces: What was cut before.
        ask: Gives the face under a coding of its crops, ``crop``.
        link: Asked last.

    Raises:
        UnavailableError: the node does not answer.
    """
    if len(among) == 1:
        return among[0]
    cut = {profile.name: await asyncio.to_thread(faces.crops_on_disk, ask(crop=profile.crop)) for profile in among}
    most = max(cut, key=lambda name: cut[name])
    if cut[most]:
        return PROFILES[most]
    bits_s = await link.rate()
    profile = for_rate(bits_s, among)
    _LOG.info("link profile chosen", profile=profile.name, mbit_s=round(bits_s / 1e6, 2))
    return profile
