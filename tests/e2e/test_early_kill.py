"""`kill -9` of the edge while a video is uploaded and dubbed at once: both go on, with the result of a quiet run."""

from pathlib import Path

import grpc
import pytest

from shared.pb.viseme.gateway.v1 import asset_pb2
from tests.integration.test_early_start import done, speech_of, submit, until
from tests.integration.test_edge_gateway import Client, reasons
from tests.stack import Stack
from tests.trickle import Trickle, large_clip

pytestmark = pytest.mark.stack


@pytest.mark.luck
async def test_an_upload_and_its_job_outlive_a_kill(tmp_path: Path) -> None:
    data = large_clip(tmp_path / "clip.mov", faststart=True)
    with Stack(edge_flags=("--segment-seconds", "0.5")) as stack:
        async with grpc.aio.insecure_channel(stack.edge) as channel:
            client = Client(channel)
            speech = await speech_of(client)
            async with Trickle(channel, data, "clip.mov") as upload:
                await upload.send(*upload.missing[:-3])
                job_id = await submit(client, upload.asset_id, speech)
                await until(client, job_id, "composited")
                stack.kill("edge")
        stack.start("edge")
        async with grpc.aio.insecure_channel(stack.edge) as channel:
            client = Client(channel)
            async with Trickle(channel, data, "clip.mov") as upload:
                assert len(upload.missing) == 3
                await upload.send_rest()
            broken = await done(client, job_id)
            assert "resumed" in reasons(await client.events(job_id))

            await client.assets.DeleteAsset(asset_pb2.DeleteAssetRequest(asset_id=upload.asset_id))
            async with Trickle(channel, data, "clip.mov") as upload:
                assert not upload.held
                await upload.send_rest()
            quiet = await done(client, await submit(client, upload.asset_id, speech))
            assert broken.result_asset_id == quiet.result_asset_id
