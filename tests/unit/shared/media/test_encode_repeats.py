"""The bytes of an encoded segment depend on its pictures alone: jobs that are taken up again rely on it."""

import os
from fractions import Fraction

import cv2
import numpy as np
import pytest

from shared.media.encode import Codec, Coding, ColourTags, encode_video, encoding_of
from shared.media.planes import Planes
from shared.media.profile import THIN


@pytest.mark.parametrize(
    ("coding", "times"),
    [
        (Coding(codec=Codec.H264, crf=27.5, preset="veryfast"), 16),
        (THIN.crop, 6),
    ],
)
def test_the_same_pictures_give_the_same_bytes_whatever_lay_in_memory_before(coding: Coding, times: int) -> None:
    noise = np.random.default_rng(1)
    shades = cv2.GaussianBlur(noise.normal(size=(500, 500)).astype(np.float32), (0, 0), 6)
    texture = np.interp(shades, (shades.min(), shades.max()), (16, 235)).astype(np.uint8)
    frames = []
    for step in range(64):
        x, y = (int(40 + 30 * np.sin(step / phase)) for phase in (5, 9))
        grain = noise.integers(0, 4, size=(320, 320), dtype=np.uint8)
        face = texture[y : y + 320, x : x + 320] + grain
        frames.append(Planes(y=face, u=texture[y : y + 160, :160].copy(), v=texture[:160, x : x + 160].copy()))
    times_us = [40_000 * step for step in range(64)]
    encoding = encoding_of(coding, rate=Fraction(25), colour=ColourTags())
    made = set()
    for _ in range(times):
        garbage = [noise.integers(0, 255, size=noise.integers(1_000, 900_000), dtype=np.uint8) for _ in range(20)]
        del garbage
        made.add(encode_video(frames, times_us, encoding))
    assert len(made) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="an encoder takes more only where root runs it")
def test_encoding_leaves_alone_how_the_thread_is_scheduled() -> None:
    flat = np.full((160, 160), 128, np.uint8)
    frames = [Planes(y=flat, u=flat[:80, :80].copy(), v=flat[:80, :80].copy())] * 2
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    encode_video(frames, [0, 40_000], encoding_of(THIN.crop, rate=Fraction(25), colour=ColourTags()))
    assert THIN.crop.codec is Codec.AV1
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before
