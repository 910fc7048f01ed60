"""How bright a speech sounds, which tells how far the lips are apart whoever speaks whatever language.

A small opening is a low-pass: behind rounded lips, in /m n/ and in the close vowels, sound is strong below 600 Hz and
weak from 1 to 3 kHz; an open mouth lets those through. The network knows what is said; this knows how it is said.
"""

import numpy as np
import numpy.typing as npt

from inference_node.speech.mouth import Shape

Rows = npt.NDArray[np.float32]

_DULL = slice(3, 9)
"""Bands of about 230 to 620 Hz."""
_BRIGHT = slice(14, 26)
"""Bands of about 1.1 to 2.9 kHz."""
_HISSING = slice(33, 40)
"""Bands above 4.5 kHz; where they lead, teeth or lips hiss, and brightness tells nothing of the opening."""
_DULL_WEIGHT = 0.7
_HISS_WEIGHT = 0.5
_HEARD_SHARE = 0.75
_BRIGHT_SHARE = 0.065
_AJAR = 0.02
_SPEAKING_FROM, _SPEAKING_AT = 0.004, 0.015
"""Below the first aperture nobody speaks for certain, above the second somebody does."""
_SMOOTHING = np.hanning(13)[1:-1] / np.hanning(13).sum()
_FADE = np.ones(9) / 9


def opened(shapes: Rows, mel: Rows) -> Rows:
    """Shapes [T, 4] with apertures that follow the brightness of mel [T, BANDS] as well, as long as somebody speaks."""
    through = mel[:, _BRIGHT].mean(axis=1)
    hiss = np.maximum(0.0, mel[:, _HISSING].mean(axis=1) - through)
    bright = through - _DULL_WEIGHT * mel[:, _DULL].mean(axis=1) - _HISS_WEIGHT * hiss
    heard = shapes[:, Shape.APERTURE]
    speaking = np.clip((heard - _SPEAKING_FROM) / (_SPEAKING_AT - _SPEAKING_FROM), 0.0, 1.0)
    aperture = _HEARD_SHARE * heard + _BRIGHT_SHARE * _smoothed(bright, _SMOOTHING) + _AJAR
    out = shapes.copy()
    out[:, Shape.APERTURE] = np.maximum(0.0, aperture * _smoothed(speaking, _FADE))
    return out


def _smoothed(values: Rows, kernel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.convolve(np.pad(values, len(kernel) // 2, mode="edge"), kernel, mode="valid")
