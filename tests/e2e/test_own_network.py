"""A network that the user brings: imported while everything runs, used, and removed again."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from tests.stack import Stack

pytest.importorskip("torch", reason="torch is not installed: pip install 'viseme[import]'")

from tests.wav2lip import random_network, save

pytestmark = pytest.mark.stack


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]


def test_a_checkpoint_becomes_an_engine_without_a_restart(
    stack: Stack, models: Path, clip: Path, short_speech: Path, tmp_path: Path
) -> None:
    checkpoint = save(random_network(divisor=16), tmp_path / "mine.pth", prefix="module.", wrapped=True)
    said = stack.viseme("engines", "import", "wav2lip", str(checkpoint), "--models", str(models)).stdout
    assert "non-commercial" in said
    assert "does not list" not in said
    own = tmp_path / "own.mp4"
    report = stack.dub(clip, short_speech, own, "--engine", "mine")
    assert (report["engine"], report["frames"]) == ("mine", 50)
    # The network paints noise where the mouth is; the rest is the clip's own.
    apart = [np.abs(a - b) for a, b in zip(frames(own), frames(clip), strict=False)]
    assert np.mean([one[one.shape[0] // 3 : one.shape[0] * 2 // 3].max() for one in apart]) > 60
    assert max(one[: one.shape[0] // 4].mean() for one in apart) < 4.0
    wrong = stack.viseme("dub", str(clip), str(short_speech), "-o", str(own), "--engine", "none", "--json", check=False)
    assert "mine" in json.loads(wrong.stdout.splitlines()[-1])["message"]
