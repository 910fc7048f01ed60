"""How the skin around a mouth moves when the jaw opens and when the corners spread.

The table was measured: FaceMesh on three people talking, frames aligned by eyes, brows and nose, the change of every
point over 0.15 s regressed on the change of aperture and of width, both sides averaged. The three people agreed to
within a tenth. What stands out: the upper lip hardly moves, the lower lip carries nearly all of the opening, the
corners sink by a third of it, and the chin follows with less than half. Of the corners' rise with width only a part is
kept: most of it was smiling.
"""

import numpy as np
import numpy.typing as npt

UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
"""FaceMesh points of the upper lip's outer line, from the corner at the picture's left to the other."""
UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)

# One row a pair of points: the point at the picture's left, its mirror, then how far the left one goes (right, down)
# per unit of aperture and (right, down) per unit of width, in heights of the face. A point of the middle is its own
# mirror.
_ROWS: tuple[tuple[int, int, float, float, float, float], ...] = (
    # lips, outer line
    (61, 291, 0.00, 0.32, -0.16, -0.02),
    (185, 409, 0.02, 0.15, -0.15, -0.02),
    (40, 270, 0.00, 0.07, -0.12, -0.016),
    (39, 269, -0.03, 0.01, -0.09, -0.008),
    (37, 267, -0.03, -0.02, -0.04, -0.004),
    (0, 0, 0.0, -0.03, 0.0, -0.004),
    (146, 375, -0.05, 0.54, -0.13, -0.016),
    (91, 321, -0.06, 0.78, -0.09, -0.012),
    (181, 405, -0.08, 0.96, -0.06, -0.012),
    (84, 314, -0.05, 1.06, -0.03, -0.012),
    (17, 17, 0.0, 1.10, 0.0, -0.012),
    # lips, inner line
    (78, 308, 0.06, 0.32, -0.15, -0.02),
    (191, 415, 0.08, 0.16, -0.14, -0.02),
    (80, 310, 0.06, 0.08, -0.12, -0.016),
    (81, 311, 0.02, 0.03, -0.09, -0.012),
    (82, 312, 0.0, 0.0, -0.05, -0.008),
    (13, 13, 0.0, -0.01, 0.0, -0.008),
    (95, 324, 0.05, 0.61, -0.13, -0.02),
    (88, 318, 0.02, 0.78, -0.11, -0.016),
    (178, 402, -0.02, 0.93, -0.07, -0.012),
    (87, 317, -0.03, 1.02, -0.04, -0.008),
    (14, 14, 0.0, 1.06, 0.0, -0.008),
    # nose and the furrow beneath it
    (1, 1, 0.0, 0.0, 0.0, 0.0),
    (2, 2, 0.0, 0.0, 0.0, 0.0),
    (98, 327, 0.0, 0.0, -0.02, 0.0),
    (64, 294, 0.0, 0.0, -0.03, 0.0),
    (129, 358, 0.02, 0.0, -0.04, 0.0),
    (164, 164, 0.0, -0.02, 0.0, 0.0),
    (167, 393, 0.0, 0.0, -0.03, 0.0),
    (165, 391, 0.01, 0.03, -0.08, -0.004),
    (92, 322, 0.03, 0.06, -0.11, -0.008),
    # cheeks
    (186, 410, 0.07, 0.11, -0.14, -0.016),
    (206, 426, 0.05, 0.04, -0.08, 0.0),
    (216, 436, 0.10, 0.06, -0.11, -0.004),
    (57, 287, 0.04, 0.22, -0.13, -0.016),
    (43, 273, -0.03, 0.36, -0.11, -0.012),
    (212, 432, 0.09, 0.12, -0.09, 0.0),
    (202, 422, 0.01, 0.20, -0.07, 0.0),
    (214, 434, 0.08, 0.06, -0.07, 0.0),
    (207, 427, 0.08, 0.02, -0.08, 0.0),
    (205, 425, 0.03, 0.02, -0.05, 0.0),
    (36, 266, 0.0, 0.0, -0.03, 0.0),
    (50, 280, 0.0, 0.0, -0.02, 0.0),
    (187, 411, 0.04, 0.0, -0.04, 0.0),
    (192, 416, 0.04, 0.0, -0.03, 0.0),
    (132, 361, 0.0, 0.0, 0.0, 0.0),
    # chin and jaw
    (204, 424, -0.06, 0.33, -0.05, 0.0),
    (106, 335, -0.08, 0.53, -0.06, 0.0),
    (182, 406, -0.10, 0.75, -0.05, 0.0),
    (83, 313, -0.06, 0.89, -0.03, 0.0),
    (18, 18, 0.0, 0.95, 0.0, 0.0),
    (201, 421, -0.05, 0.66, -0.02, 0.0),
    (194, 418, -0.06, 0.48, -0.03, 0.0),
    (200, 200, 0.0, 0.74, 0.0, 0.0),
    (199, 199, 0.0, 0.60, 0.0, 0.0),
    (211, 431, -0.02, 0.25, -0.03, 0.0),
    (210, 430, 0.03, 0.14, -0.03, 0.0),
    (32, 262, -0.03, 0.36, -0.02, 0.0),
    (171, 396, -0.03, 0.44, -0.01, 0.0),
    (152, 152, 0.0, 0.44, 0.0, 0.0),
    (148, 377, -0.02, 0.38, -0.01, 0.0),
    (176, 400, -0.03, 0.26, -0.01, 0.0),
    (149, 378, -0.02, 0.12, -0.01, 0.0),
    (150, 379, 0.0, 0.04, 0.0, 0.0),
    (136, 365, 0.0, 0.0, 0.0, 0.0),
    (172, 397, 0.0, 0.0, 0.0, 0.0),
)

CHIN_PER_APERTURE = 0.44
"""How far the chin's tip sinks per unit of aperture: the face's height grows by as much."""


def _table() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    points: list[int] = []
    aperture: list[tuple[float, float]] = []
    width: list[tuple[float, float]] = []
    for left, right, open_x, open_y, wide_x, wide_y in _ROWS:
        points.append(left)
        aperture.append((open_x, open_y))
        width.append((wide_x, wide_y))
        if right != left:
            points.append(right)
            aperture.append((-open_x, open_y))
            width.append((-wide_x, wide_y))
    return np.array(points), np.array(aperture), np.array(width)


POINTS, PER_APERTURE, PER_WIDTH = _table()
"""Indices of the points that move [K], and how far each goes per unit of aperture and of width [K, 2]."""
