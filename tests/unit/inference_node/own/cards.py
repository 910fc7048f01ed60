"""A card for tests."""

from typing import Any


def told(**changes: Any) -> dict[str, Any]:
    card: dict[str, Any] = {
        "name": "mine",
        "licence": "mine alone",
        "pictures": [
            {"tensor": "face", "layout": "BHWC", "shape": [-1, 64, 48, 3], "colour": "rgb", "range": [-1, 1],
             "pictures": ["masked"]},
            {"tensor": "other", "layout": "BCHW", "shape": [-1, 3, 64, 48], "colour": "bgr", "range": [0, 1],
             "pictures": ["reference"]},
        ],
        "mel": {"tensor": "sound", "layout": "BTM", "shape": [-1, 8, 40]},
        "speech": {"n_fft": 512, "window": 400, "hop": 160, "bands": 40, "low_hz": 20, "high_hz": 8000, "rows": 8},
        "output": {"tensor": "out", "layout": "BHWC", "shape": [-1, 64, 48, 3], "colour": "rgb", "range": [-1, 1]},
    }  # fmt: skip
    return card | changes
