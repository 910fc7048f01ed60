import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_node.engine.local import LocalTensors
from inference_node.own.confined import ImportLimits, run_confined
from inference_node.own.engine import FACE, MEL, PAINTED, REFERENCE, VALUES
from inference_node.own.folder import Stored, look, remove
from inference_node.own.importing import import_onnx, import_wav2lip
from shared.errors import ConflictError, DeadlineError, InvalidInputError, LimitExceededError, NotFoundError

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'viseme[import]'")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'viseme[import]'")

from inference_node.own import reading  # noqa: E402 - these need torch and onnx
from tests.wav2lip import Wav2Lip, random_network, save  # noqa: E402

CARD = """
name = "mine"
licence = "mine alone"
batch = 4

[[pictures]]
tensor = "face"
layout = "BHWC"
shape = [-1, 32, 24, 6]
colour = "bgr"
range = [-1.0, 1.0]
pictures = ["masked", "reference"]

[mel]
tensor = "sound"
layout = "B1MT"
shape = [-1, 1, 40, 8]

[speech]
n_fft = 512
window = 400
hop = 160
bands = 40
low_hz = 20.0
high_hz = 8000.0
rows = 8

[output]
tensor = "out"
dtype = "float16"
layout = "BCHW"
shape = [-1, 3, 32, 24]
colour = "bgr"
range = [-1.0, 1.0]
"""


@pytest.fixture(scope="module")
def network() -> "Wav2Lip":
    return random_network(divisor=16)


@pytest.fixture(scope="module")
def checkpoint(network: "Wav2Lip", tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(network, tmp_path_factory.mktemp("checkpoints") / "Tiny GAN.pth", prefix="module.", wrapped=True)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files here and not in a child each, which takes a second to load torch."""

    def call(module: str, function: str, arguments: dict[str, Any], limits: ImportLimits) -> dict[str, Any]:
        assert module == "inference_node.own.reading"
        assert limits.file_bytes
        told: dict[str, Any] = getattr(reading, function)(arguments)
        return told

    monkeypatch.setattr("inference_node.own.importing.run_confined", call)


def torch_says(network: "Wav2Lip", face: np.ndarray, mel: np.ndarray) -> np.ndarray:
    """What the network itself gives, as RGB pictures; the input is made as the published code makes it."""
    seen = face[..., ::-1].astype(np.float32)
    masked = seen.copy()
    masked[:, face.shape[1] // 2 :] = 0
    both = np.concatenate([masked, seen], axis=3) / 255.0
    sound = torch.from_numpy(mel.transpose(0, 2, 1)[:, None].copy())
    with torch.no_grad():
        made = network(sound, torch.from_numpy(both.transpose(0, 3, 1, 2).copy()))
    pictures: np.ndarray = made.numpy().transpose(0, 2, 3, 1)[..., ::-1]
    return pictures


async def test_an_imported_checkpoint_answers_as_torch_does(
    network: "Wav2Lip", checkpoint: Path, tmp_path: Path
) -> None:
    stored = import_wav2lip(checkpoint, tmp_path, name=None)
    assert stored.card.name == "tiny-gan"
    assert "non-commercial" in stored.card.licence
    rng = np.random.default_rng(6)
    face = rng.integers(0, 256, (3, 96, 96, 3), np.uint8)
    mel = rng.uniform(-4, 4, (3, 16, 80)).astype(np.float32)
    tensors = LocalTensors(tmp_path, observe=lambda *_: None)
    answer = await tensors.infer("own-tiny-gan", {FACE: face, MEL: mel}, [PAINTED, VALUES])
    expected = torch_says(network, face, mel)
    assert expected.std() > 0.01
    np.testing.assert_allclose(answer[VALUES], expected, atol=1e-4)
    assert np.abs(answer[PAINTED].astype(int) - np.rint(expected * 255)).max() <= 1
    one = await tensors.infer("own-tiny-gan", {FACE: face[:1], MEL: mel[:1]}, [PAINTED])
    np.testing.assert_array_equal(one[PAINTED][0], answer[PAINTED][0])


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(("blocks", "smallest", "size"), [(8, 4, 256), (7, 9, 288)])
async def test_larger_checkpoints_answer_as_torch_does(tmp_path: Path, blocks: int, smallest: int, size: int) -> None:
    larger = random_network(divisor=16, blocks=blocks, smallest=smallest)
    stored = import_wav2lip(save(larger, tmp_path / "larger.pth"), tmp_path, name=None)
    assert (stored.card.size, stored.card.crop_side) == ((size, size), 448)
    rng = np.random.default_rng(7)
    face = rng.integers(0, 256, (1, size, size, 3), np.uint8)
    mel = rng.uniform(-4, 4, (1, 16, 80)).astype(np.float32)
    tensors = LocalTensors(tmp_path, observe=lambda *_: None)
    answer = await tensors.infer("own-larger", {FACE: face, MEL: mel}, [VALUES])
    np.testing.assert_allclose(answer[VALUES], torch_says(larger, face, mel), atol=1e-4)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_every_spelling_of_a_checkpoint_gives_the_same_network(
    network: "Wav2Lip", tmp_path: Path, prefix: str, wrapped: bool, legacy: bool
) -> None:
    path = save(network, tmp_path / "a.pth", prefix=prefix, wrapped=wrapped, legacy=legacy)
    plain = save(network, tmp_path / "b.pth")
    first = import_wav2lip(path, tmp_path / "models", name="a")
    second = import_wav2lip(plain, tmp_path / "models", name="b", licence="ours")
    weights = [onnx.load(one.folder / "1" / "model.onnx").graph.initializer for one in (first, second)]
    assert [one.SerializeToString() for one in weights[0]] == [one.SerializeToString() for one in weights[1]]
    assert second.card.licence == "ours"
    assert {"a", "b"} == look(tmp_path / "models")[0].keys()


def evil() -> object:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.system, (f"touch {Path.cwd() / 'ran'}",))

    return Evil()


def with_code(path: Path) -> None:
    torch.save({"state_dict": {"a": evil()}}, path)


def legacy_with_code(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": evil()}, protocol=2))


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", b"\0" * (64 << 20))


def torchscript(path: Path) -> None:
    torch.jit.script(torch.nn.ReLU()).save(str(path))


def cut(path: Path) -> None:
    torch.save({"a": torch.zeros(9000)}, path)
    path.write_bytes(path.read_bytes()[:9000])


def shared_storage(path: Path) -> None:
    torch.save({f"a{i}": torch.zeros(1).expand(1 << 30) for i in range(2)}, path)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("write", "words"),
    [
        (with_code, "holds code or objects beside weights"),
        (legacy_with_code, "holds code or objects|no PyTorch checkpoint"),
        (bomb, "packed archive"),
        (torchscript, "TorchScript archive"),
        (cut, "no PyTorch checkpoint, or a damaged one"),
        (shared_storage, "its tensors have"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "begins like neither"),
        (lambda path: path.write_bytes(b""), "begins like neither"),
        (lambda path: torch.save({"state_dict": {"a": 3}}, path), "what is no tensor: a"),
        (lambda path: torch.save([1], path), "holds a list and no state dict"),
        (lambda path: torch.save({"a": torch.zeros(2)}, path), "none of its 1 tensors"),
        (lambda path: torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, path), "unusual kind"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_wrong_checkpoint_is_refused_with_the_reason_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], object], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "bad.pth")
    limits = ImportLimits(file_bytes=32 << 20)
    with pytest.raises(InvalidInputError, match=words):
        import_wav2lip(tmp_path / "bad.pth", tmp_path / "models", name=None, limits=limits)
    assert not (tmp_path / "ran").exists()
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".lock"]


@pytest.mark.usefixtures("in_process")
def test_weights_that_are_no_numbers_are_refused(network: "Wav2Lip", tmp_path: Path) -> None:
    for key, value, words in (
        ("output_block.1.bias", float("nan"), "output_block.1.bias holds what is no number"),
        ("audio_encoder.0.conv_block.1.running_var", -1.0, "running_var is negative"),
    ):
        state = dict(network.state_dict())
        state[key] = torch.full_like(state[key], value)
        torch.save(state, tmp_path / "bad.pth")
        with pytest.raises(InvalidInputError, match=words):
            import_wav2lip(tmp_path / "bad.pth", tmp_path / "models", name=None)


def test_the_child_has_limits(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(InvalidInputError, match="memory"):
        import_wav2lip(checkpoint, tmp_path, name="x", limits=ImportLimits(memory_bytes=64 << 20))
    with pytest.raises(DeadlineError, match=r"longer than 0\.001 s"):
        run_confined("inference_node.own.reading", "read_onnx", {}, ImportLimits(seconds=0.001))
    assert not look(tmp_path)[0]


def own_network(path: Path, **changes: Any) -> Path:
    """A small network: half its input's first three channels plus half of the rest, and a breath of its sound."""
    settings = {"opset": 17, "batch": "n", "height": 32} | changes
    helper, kinds = onnx.helper, onnx.TensorProto
    height, batch = settings["height"], settings["batch"]
    weights = np.zeros((3, 6, 1, 1), np.float32)
    for channel in range(3):
        weights[channel, [channel, channel + 3]] = 0.5
    nodes = [
        helper.make_node("Transpose", ["face"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"]),
        helper.make_node("ReduceMean", ["sound"], ["s"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["s", "k"], ["m"]),
        helper.make_node("Add", ["c", "m"], ["a"]),
        helper.make_node("Cast", ["a"], ["out"], to=kinds.FLOAT16),
    ]
    graph = helper.make_graph(
        nodes,
        "own",
        [
            helper.make_tensor_value_info("face", kinds.FLOAT, [batch, height, 24, 6]),
            helper.make_tensor_value_info("sound", kinds.FLOAT, [batch, 1, 40, 8]),
        ],
        [helper.make_tensor_value_info("out", kinds.FLOAT16, [batch, 3, height, 24])],
        [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(np.array(0.1, np.float32), "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", settings["opset"])], ir_version=8)
    if "outside" in changes:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = kinds.EXTERNAL
        tensor.external_data.add(key="location", value="../../../etc/passwd")
    path.write_bytes(model.SerializeToString())
    return path


def import_own(tmp_path: Path, network: Path, card: str = CARD) -> Stored:
    (tmp_path / "card.toml").write_text(card)
    return import_onnx(network, tmp_path / "card.toml", tmp_path / "models", name=None)


@pytest.mark.usefixtures("in_process")
async def test_any_network_runs_by_its_card(tmp_path: Path) -> None:
    stored = import_own(tmp_path, own_network(tmp_path / "net.onnx"))
    assert (stored.card.batch, stored.card.source != "", stored.card.network != "") == (4, True, True)
    assert "max_batch_size: 4" in (stored.folder / "config.pbtxt").read_text()
    assert "max_batch_size: 4" in (stored.folder / "configs" / "gpu.pbtxt").read_text()
    assert "KIND_GPU" in (stored.folder / "configs" / "gpu.pbtxt").read_text()
    rng = np.random.default_rng(8)
    face, other = rng.integers(0, 256, (2, 2, 32, 24, 3), np.uint8)
    mel = rng.normal(size=(2, 8, 40)).astype(np.float32)
    answer = await LocalTensors(tmp_path / "models", observe=lambda *_: None).infer(
        "own-mine", {FACE: face, REFERENCE: other, MEL: mel}, [PAINTED, VALUES]
    )
    masked = face.astype(np.float64)
    masked[:, 16:] = 0
    values = (masked + other) / 2 / 127.5 - 1 + 0.1 * mel.mean(axis=(1, 2))[:, None, None, None]
    np.testing.assert_allclose(answer[VALUES], (values + 1) / 2, atol=2e-3)
    assert np.abs(answer[PAINTED].astype(float) - np.clip(values + 1, 0, 2) * 127.5).max() <= 1


@pytest.mark.usefixtures("in_process")
def test_a_network_that_takes_one_frame_gets_one_frame_at_a_time(tmp_path: Path) -> None:
    assert import_own(tmp_path, own_network(tmp_path / "net.onnx", batch=1)).card.batch == 1


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("network", "old", "new", "field", "words"),
    [
        ({}, 'tensor = "face"', 'tensor = "faces"', "card.pictures.0.tensor", "it has face, sound"),
        ({}, 'tensor = "out"', 'tensor = "in"', "card.output.tensor", "it has out"),
        ({}, 'dtype = "float16"', "", "card.output.dtype", "FLOAT16 in the network and float32 in the card"),
        ({"height": 64}, "x", "x", "card.pictures.0.shape", "[-1, 64, 24, 6] in the network"),
        ({"batch": 3}, "x", "x", "card.pictures.0.shape", "[3, 32, 24, 6] in the network"),
        ({"opset": 12}, "x", "x", "network", "of ONNX opset 12"),
        ({"outside": True}, "x", "x", "network", "1 tensors lie in other files (w)"),
    ],
)
def test_a_network_that_is_not_what_its_card_says_is_refused(
    tmp_path: Path, network: dict[str, Any], old: str, new: str, field: str, words: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        import_own(tmp_path, own_network(tmp_path / "net.onnx", **network), CARD.replace(old, new))
    assert caught.value.field == field
    assert words in caught.value.message
    assert not look(tmp_path / "models")[0]


@pytest.mark.usefixtures("in_process")
def test_what_is_no_onnx_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"PK\x03\x04 something", b"\x08\x07"):
        (tmp_path / "net.onnx").write_bytes(data)
        with pytest.raises(InvalidInputError, match=r"no ONNX (file|network)"):
            import_own(tmp_path, tmp_path / "net.onnx")
    (tmp_path / "card.toml").write_text(CARD)
    own_network(tmp_path / "net.onnx")
    with pytest.raises(LimitExceededError, match="bytes"):
        import_onnx(
            tmp_path / "net.onnx", tmp_path / "card.toml", tmp_path, name=None, limits=ImportLimits(file_bytes=10)
        )


@pytest.mark.usefixtures("in_process")
def test_names_are_checked_and_taken_once(tmp_path: Path) -> None:
    network = own_network(tmp_path / "net.onnx")
    stored = import_own(tmp_path, network)
    with pytest.raises(ConflictError, match="viseme engines remove mine"):
        import_own(tmp_path, network)
    with pytest.raises(InvalidInputError, match="comes with viseme"):
        import_own(tmp_path, network, CARD.replace('"mine"', '"warp"'))
    with pytest.raises(InvalidInputError, match="cannot be a network's name"):
        import_wav2lip(tmp_path / "1.pth", tmp_path / "models", name=None)
    with pytest.raises(InvalidInputError, match="is not a file"):
        import_wav2lip(tmp_path / "a.pth", tmp_path / "models", name=None)
    with pytest.raises(NotFoundError, match="no network 'other'"):
        remove("other", tmp_path / "models")
    with pytest.raises(NotFoundError):
        remove("../models/own-mine", tmp_path / "models")
    (tmp_path / "models" / ".part-dead").mkdir()
    remove("mine", tmp_path / "models")
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".lock"]
    again = import_own(tmp_path, network)
    assert again.digest == stored.digest


@pytest.mark.usefixtures("in_process")
def test_what_was_tampered_with_is_told_and_left_out(tmp_path: Path) -> None:
    stored = import_own(tmp_path, own_network(tmp_path / "net.onnx"))
    models = tmp_path / "models"
    (models / "own-empty").mkdir()
    (models / "own-other").mkdir()
    (models / "own-other" / "card.json").write_text((stored.folder / "card.json").read_text())
    (models / "own-third").mkdir()
    card = json.loads((stored.folder / "card.json").read_text()) | {"name": "third"}
    (models / "own-third" / "card.json").write_text(json.dumps(card))
    found, broken = look(models)
    assert list(found) == ["mine"]
    words = {one.folder.name: one.words for one in broken}
    assert "cannot be read" in words["own-empty"]
    assert "its card calls it mine" in words["own-other"]
    assert "1/model.onnx is missing" in words["own-third"]
