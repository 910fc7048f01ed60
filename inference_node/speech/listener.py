"""From a speech to the mouth that speaks it, by the network ``speech``."""

import asyncio

import numpy as np
import numpy.typing as npt

from inference_node.engine.port import Tensors
from inference_node.speech.features import mel_features, row_count
from inference_node.speech.mouth import MouthTrack
from inference_node.speech.reach import evened
from inference_node.speech.settle import settled
from inference_node.speech.talking import hushed

CONTEXT_ROWS = 44
"""Rows that the network looks back and ahead from each row that it answers."""
MODEL = "speech"

PIECE_ROWS = 2000
"""Rows answered at once: 20 s, so that memory does not grow with the speech."""


class Listener:
    """Hears speech; holds no state between speeches."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

    async def hear(self, samples: npt.NDArray[np.float32]) -> MouthTrack:
        """Turn speech (float32, mono, 16 kHz, -1 to 1) into a mouth track.

        Long speech goes through the network in pieces; each is given the context that the network needs, so the
        result does not depend on where the pieces end.
        """
        mel = await asyncio.to_thread(mel_features, samples, CONTEXT_ROWS)
        shapes, log_odds = [], []
        for first in range(0, row_count(len(samples)), PIECE_ROWS):
            piece = mel[first : first + PIECE_ROWS + 2 * CONTEXT_ROWS]
            answer = await self._tensors.infer(MODEL, {"mel": piece[None]}, ["shapes", "talking"])
            shapes.append(answer["shapes"][0].astype(np.float32))
            log_odds.append(answer["talking"][0].astype(np.float32))
        spoken = hushed(np.concatenate(shapes), np.concatenate(log_odds))
        return MouthTrack(shapes=settled(evened(spoken)))
