"""What results bear goes by the operator's wish alone, and a job keeps to the label that it has begun with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_gateway.jobs.files import JobFiles
from edge_gateway.label.policy import Label
from shared.media.limits import MediaLimits
from shared.media.video import FrameReader
from shared.provenance.finding import Standing
from shared.provenance.verify import verify
from tests.integration.test_edge_gateway import EchoNode, running_edge, running_node

OWN = {"sign_certificate": None, "sign_key": None}
"""The edge makes a certificate for itself."""


async def result_of(folder: Path, **settings: Any) -> Path:
    """A job's result at an edge with these settings."""
    async with running_node(EchoNode()) as address, running_edge(folder, address, **OWN, **settings) as client:
        job = await client.submit()
        await client.events(job.job_id)
        done = await client.job(job.job_id)
        output = folder / "downloaded.mp4"
        output.write_bytes(await client.download(done.result_asset_id))
    return output


@pytest.mark.parametrize("sign", ["on", "off"])
@pytest.mark.parametrize("aigc", ["on", "off"])
async def test_the_operator_decides_what_a_result_bears(tmp_path: Path, sign: str, aigc: str) -> None:
    finding = await verify(await result_of(tmp_path, sign=sign, aigc=aigc), None)
    assert finding.standing is (Standing.HOLDS if sign == "on" else Standing.UNSIGNED)
    assert (finding.aigc is not None) == (aigc == "on")
    assert finding.tag is not None
    assert (tmp_path / "signing").is_dir() == (sign == "on")


async def test_the_label_is_seen_for_as_long_as_it_is_demanded(tmp_path: Path) -> None:
    plain = await result_of(tmp_path / "plain")
    marked = await result_of(tmp_path / "marked", label="on", label_seconds=2.5, label_place="bottom")
    differ = []
    with FrameReader(plain, MediaLimits()) as one, FrameReader(marked, MediaLimits()) as other:
        for before, after in zip(one, other, strict=True):
            rows = slice(before.planes.height * 3 // 4, None)
            far = np.abs(before.planes.y[rows].astype(int) - after.planes.y[rows]) > 60
            differ.append((before.time_us, bool(far.sum() > 50)))
    assert [is_marked for _, is_marked in differ] == [time_us < 2_500_000 for time_us, _ in differ]
    assert {is_marked for _, is_marked in differ} == {True, False}


def test_a_job_keeps_the_label_that_was_demanded_when_it_began(tmp_path: Path) -> None:
    label, other = Label(text="AI"), Label(text="AI-generated")
    begun = JobFiles(tmp_path / "with")
    begun.make()
    assert begun.label(label) == label
    assert JobFiles(tmp_path / "with").label(None) == label
    assert JobFiles(tmp_path / "with").label(other) == label
    plain = JobFiles(tmp_path / "without")
    plain.make()
    assert plain.label(None) is None
    assert JobFiles(tmp_path / "without").label(label) is None
