"""How far the mouth opens over a whole speech: as far as people do, however the sound was taken.

Noise, music and narrow bands flatten what the network answers; a speech is brought to what is usual, by at most a
third either way, so that who mumbles still mumbles.
"""

import numpy as np
import numpy.typing as npt

from inference_node.speech.mouth import TRACK_RATE, Shape

Track = npt.NDArray[np.float32]

_USUAL = 0.026
"""Standard deviation of the aperture less its moving mean of a second, while somebody speaks."""
_PRIOR_ROWS = 200
"""Short speech leans on the usual as if it held two seconds of it."""
_LEAST, _MOST = 0.7, 1.4
_SPEAKING = 0.012


def evened(shapes: Track) -> Track:
    """Shapes [T, 4] whose apertures open as far as is usual; closed stays closed."""
    if len(shapes) < TRACK_RATE:
        return shapes
    aperture = shapes[:, Shape.APERTURE].astype(np.float64)
    second = np.ones(TRACK_RATE)
    mean = np.convolve(aperture, second, mode="same") / np.convolve(np.ones(len(aperture)), second, mode="same")
    lively = (aperture - mean)[mean > _SPEAKING]
    power = (np.square(lively).sum() + _PRIOR_ROWS * _USUAL**2) / (len(lively) + _PRIOR_ROWS)
    out = shapes.copy()
    out[:, Shape.APERTURE] *= np.float32(np.clip(_USUAL / np.sqrt(power), _LEAST, _MOST))
    return out
