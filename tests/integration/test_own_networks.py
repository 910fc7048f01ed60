"""Networks of a user's own in the real Triton: taken up while it runs, brought back when it dies, let go."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from inference_node.engine.port import FaceFrames
from inference_node.engine.registry import MODEL_REPOSITORY, Registry
from inference_node.engine.triton import TritonTensors
from inference_node.own.engine import FACE, MEL, PAINTED, VALUES
from inference_node.own.folder import being_made, look, make_folder, publish, remove
from inference_node.own.importing import import_wav2lip
from inference_node.own.shelf import Shelf
from inference_node.triton.environment import TritonEnvironmentError, find
from inference_node.triton.guests import GuestPatience
from inference_node.triton.server import ServerOptions, TritonServer, triton_server
from inference_node.triton.watchdog import Patience, TritonState, Watchdog
from shared.errors import EngineUnavailableError

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'viseme[import]'")

from tests.wav2lip import random_network, save  # noqa: E402 - it needs torch


@dataclass
class Running:
    server: TritonServer
    tensors: TritonTensors
    watchdog: Watchdog
    registry: Registry
    shelf: Shelf
    models: Path


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Running]:
    try:
        environment = find()
    except TritonEnvironmentError as error:
        pytest.skip(str(error))
    models = folder / "models"
    make_folder(models)
    options = ServerOptions(environment=environment, repository=MODEL_REPOSITORY, own=models, folder=folder / "t")
    async with triton_server(options) as server:
        tensors = TritonTensors(server.url, deadline_s=30.0, observe=lambda *_: None)
        patience = Patience(period_s=0.3, guests=GuestPatience(backoff_s=0.1))
        watchdog = Watchdog(tensors, server, [], patience=patience, on_reload=lambda _: None)
        task = asyncio.create_task(watchdog.run())
        registry = Registry({}, default="")
        try:
            async with asyncio.timeout(60):
                while watchdog.state is not TritonState.READY:
                    await watchdog.next_state(watchdog.state)
            shelf = Shelf(models, registry, tensors, watchdog, period_s=1.0)
            yield Running(server, tensors, watchdog, registry, shelf, models)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await tensors.close()


async def test_triton_answers_as_torch_and_networks_come_and_go(tmp_path: Path) -> None:
    network = random_network(divisor=8)
    checkpoint = save(network, tmp_path / "mine.pth")
    rng = np.random.default_rng(11)
    face = rng.integers(0, 256, (5, 96, 96, 3), np.uint8)
    mel = rng.uniform(-4, 4, (5, 16, 80)).astype(np.float32)
    seen = face[..., ::-1].astype(np.float32) / 255
    both = np.concatenate([seen * (np.arange(96) < 48)[:, None, None], seen], axis=3).transpose(0, 3, 1, 2)
    with torch.no_grad():
        sound = torch.from_numpy(mel.transpose(0, 2, 1)[:, None].copy())
        made = network(sound, torch.from_numpy(both.astype(np.float32).copy())).numpy()
    expected = made.transpose(0, 2, 3, 1)[..., ::-1]

    async with running(tmp_path) as triton:
        await triton.shelf.look()
        assert not triton.registry.engines
        await asyncio.to_thread(import_wav2lip, checkpoint, triton.models, name=None)
        await triton.shelf.look()
        assert list(triton.registry.engines) == ["mine"]

        question = {FACE: face, MEL: mel}
        answer = await triton.tensors.infer("own-mine", question, [PAINTED, VALUES])
        np.testing.assert_allclose(answer[VALUES], expected, atol=1e-4)
        assert np.abs(answer[PAINTED].astype(float) - expected * 255).max() <= 0.51

        # A network that does not load: the others do not notice.
        good = look(triton.models)[0]["mine"]
        with being_made(triton.models) as place:
            (place / "1").mkdir()
            (place / "1" / "model.onnx").write_bytes(b"no network")
            (place / "config.pbtxt").write_text((good.folder / "config.pbtxt").read_text().replace("mine", "bad"))
            publish(place, good.card.model_copy(update={"name": "bad"}), triton.models)
        await triton.shelf.look()
        assert list(triton.registry.engines) == ["mine"]

        os.kill(triton.server.pid, signal.SIGKILL)
        with pytest.raises(EngineUnavailableError):
            await triton.tensors.infer("own-mine", question, [PAINTED])
        await triton.watchdog.recovered(60.0)
        again = await triton.tensors.infer("own-mine", question, [PAINTED])
        np.testing.assert_array_equal(again[PAINTED], answer[PAINTED])

        await asyncio.to_thread(remove, "mine", triton.models)
        await triton.shelf.look()
        assert not triton.registry.engines
        with pytest.raises(EngineUnavailableError):
            await triton.tensors.infer("own-mine", question, [PAINTED])


async def test_frames_are_the_same_alone_and_together(tmp_path: Path) -> None:
    checkpoint = save(random_network(divisor=16), tmp_path / "mine.pth")
    crops = np.random.default_rng(3).integers(0, 256, (5, 320, 320, 3), np.uint8)
    points = np.random.default_rng(4).uniform((90, 60), (230, 260), (5, 468, 2)).astype(np.float32)
    points[3] = np.nan
    async with running(tmp_path) as triton:
        await asyncio.to_thread(import_wav2lip, checkpoint, triton.models, name=None)
        await triton.shelf.look()
        engine = triton.registry.get("mine")
        speech = np.random.default_rng(5).normal(0, 0.1, 16_000).astype(np.float32)
        track = await engine.hear(speech)
        told = track.at(np.arange(5) / 25)
        memory = await engine.remember(FaceFrames(crops=crops, landmarks=points))
        whole = await engine.render(FaceFrames(crops=crops, landmarks=points), told, memory)
        patch = engine.card.patch
        untouched = crops[3, patch.y : patch.y + patch.height, patch.x : patch.x + patch.width]
        np.testing.assert_array_equal(whole.patches[3], untouched)
        assert (whole.masks[3] == 0).all()
        assert (whole.masks[[0, 1, 2, 4], 2:4] > 0).all()
        for index in range(5):
            one = FaceFrames(crops=crops[index : index + 1], landmarks=points[index : index + 1])
            alone = await engine.render(one, told[index : index + 1], memory)
            np.testing.assert_array_equal(alone.patches[0], whole.patches[index])
            np.testing.assert_array_equal(alone.masks[0], whole.masks[index])
