"""Several recordings heard at once, as loud as each is by itself, and never clipped.

Where one voice speaks alone its samples stay what they are. Where the sum would be beyond full scale, all of it is
turned down for as long as that lasts: the gain is set for blocks of 10 ms, never above what the loudest sample of a
block and its neighbours allows, and goes from one block's to the next in a straight line.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from shared.media.audio import Samples, SoundInfo, open_sound
from shared.media.limits import MediaLimits

_BLOCKS_A_SECOND: Final = 100
_MOST_CHANNELS: Final = 2


class Sound(Protocol):
    """What can be heard; see :class:`shared.media.audio.SoundReader`."""

    @property
    def info(self) -> SoundInfo:
        """What it is."""
        ...

    def blocks(self, *, rate: int | None = None, channels: int | None = None) -> Iterator[Samples]:
        """Sound as float32 [channels, n], -1 to 1."""
        ...


class MixedSound:
    """Sounds that begin together; ends with the longest.

    Args:
        sounds: At least one.
    """

    def __init__(self, sounds: Sequence[Sound]) -> None:
        self._sounds = sounds
        infos = [sound.info for sound in sounds]
        best = max(infos, key=lambda info: info.rate)
        self.info = SoundInfo(codec=best.codec, rate=best.rate, channels=max(info.channels for info in infos))
        """That of the one with most samples a second, and the most channels of any."""

    def blocks(self, *, rate: int | None = None, channels: int | None = None) -> Iterator[Samples]:
        """The sum as float32 [channels, n], -1 to 1; see :meth:`shared.media.audio.SoundReader.blocks`."""
        rate = rate or self.info.rate
        channels = channels or min(self.info.channels, _MOST_CHANNELS)
        step = max(1, rate // _BLOCKS_A_SECOND)
        parts = [_evenly(sound.blocks(rate=rate, channels=channels), step) for sound in self._sounds]
        return _limited(_summed(parts, np.zeros((channels, step), np.float32)))


@contextmanager
def open_sounds(paths: Sequence[Path], limits: MediaLimits, field: str = "speech") -> Iterator[Sound]:
    """Open the sound of files, to be heard at once.

    Raises:
        InvalidMediaError: one of them has none.
    """
    with ExitStack() as stack:
        sounds = [stack.enter_context(open_sound(path, limits, field)) for path in paths]
        yield sounds[0] if len(sounds) == 1 else MixedSound(sounds)


def _evenly(blocks: Iterator[Samples], step: int) -> Iterator[Samples]:
    """The same sound in blocks of one size; the last is filled with silence."""
    held: Samples | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        whole = held.shape[1] - held.shape[1] % step
        for at in range(0, whole, step):
            yield held[:, at : at + step]
        held = held[:, whole:]
    if held is not None and held.shape[1]:
        yield np.pad(held, ((0, 0), (0, step - held.shape[1])))


def _summed(parts: Sequence[Iterator[Samples]], silence: Samples) -> Iterator[Samples]:
    while True:
        blocks = [next(part, None) for part in parts]
        if all(block is None for block in blocks):
            return
        total = silence
        for block in blocks:
            total = total if block is None else total + block
        yield total


def _limited(blocks: Iterator[Samples]) -> Iterator[Samples]:
    """Turn down what is beyond full scale, looking one block ahead."""
    before = 1.0  # the gain where the block begins
    waiting: Samples | None = None
    for block in blocks:
        if waiting is not None:
            after = min(_gain(waiting), _gain(block))
            yield _faded(waiting, before, after)
            before = after
        waiting = block
    if waiting is not None:
        yield _faded(waiting, before, _gain(waiting))


def _gain(block: Samples) -> float:
    return 1 / max(1.0, float(np.abs(block).max()))


def _faded(block: Samples, before: float, after: float) -> Samples:
    if before == after == 1.0 and _gain(block) == 1.0:
        return block
    # Neither end lies above what the block's own loudest sample allows, so nothing between does.
    before, after = min(before, _gain(block)), min(after, _gain(block))
    faded: Samples = block * np.linspace(before, after, block.shape[1], dtype=np.float32)
    return np.clip(faded, -1, 1, out=faded)
