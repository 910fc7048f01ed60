"""What the networks ``viseme`` and ``viseme_learn`` take and give."""

from collections.abc import Mapping
from types import MappingProxyType

from inference_node.engine import likeness
from inference_node.engine.field import KNOTS
from inference_node.engine.warp import INPUTS as WARP_INPUTS

WINDOW_WIDTH, WINDOW_HEIGHT = 128, 96
"""The part of the patch around the mouth that is painted, in pixels."""
COARSE = 4
"""What the painting network says, it says for squares of so many pixels; between them it is interpolated."""
LIKENESSES = 3
"""The mouth wide open, half open and closed."""
FEATURES = 32
"""Of the painting network's last layer."""
CELLS = 12
"""Parts of the mouth that a person's own last layer tells apart."""
HEAD_OUTPUTS = 3
"""Red, green and blue."""
VARIABLES = CELLS * (FEATURES + 1)
"""What a person's own part explains each output by."""
ASKED = 6
"""Numbers of a frame: asked aperture and width, own aperture, how far turned, ends of the mouth."""

Inputs = Mapping[str, tuple[tuple[int, ...], str]]
MOST_FRAMES = 64
"""In one batch."""

INPUTS: Inputs = MappingProxyType(
    {
        **WARP_INPUTS,
        "CORNER": ((2,), "float32"),
        "LINES": ((4 + 5 * LIKENESSES, KNOTS), "float32"),
        "ASKED": ((ASKED,), "float32"),
        "REF_PICTURES": ((LIKENESSES, likeness.HEIGHT_PX, likeness.WIDTH_PX, 3), "uint8"),
        "REF_NUMBERS": ((LIKENESSES, likeness.NUMBERS), "float32"),
        "HEAD": ((HEAD_OUTPUTS, VARIABLES), "float32"),
    }
)
"""Tensors of ``viseme``: shape of one frame, and kind."""
OUTPUT = "PAINTED"

LEARN_INPUTS: Inputs = MappingProxyType(
    {
        **{name: tensor for name, tensor in INPUTS.items() if name != "HEAD"},
        "TRUTH": ((WINDOW_HEIGHT, WINDOW_WIDTH, 3), "uint8"),
    }
)
"""Tensors of ``viseme_learn``."""
LEARN_OUTPUTS = ("GRAM", "RIGHT")
