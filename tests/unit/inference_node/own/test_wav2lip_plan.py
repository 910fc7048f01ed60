import pytest

from inference_node.own.wav2lip_plan import plan_of
from shared.errors import InvalidInputError

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'viseme[import]'")

from tests.wav2lip import Wav2Lip  # noqa: E402 - it needs torch


def shapes(network: "Wav2Lip") -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def test_the_published_network_is_recognised() -> None:
    with torch.device("meta"):
        network = Wav2Lip()
    assert sum(value.numel() for value in network.parameters()) == 36_298_035
    plan = plan_of(shapes(network))
    assert plan.size == 96
    assert [len(block) for block in plan.encoder] == [1, 3, 4, 3, 3, 2, 2]
    assert [layer.output_padding for block in plan.decoder for layer in block if layer.is_transposed] == [0, *[1] * 5]


@pytest.mark.parametrize(
    ("blocks", "smallest", "size"), [(8, 3, 192), (8, 4, 256), (7, 9, 288), (8, 6, 384), (7, 4, 128)]
)
def test_larger_networks_tell_their_size_by_their_shapes(blocks: int, smallest: int, size: int) -> None:
    with torch.device("meta"):
        network = Wav2Lip(8, blocks=blocks, smallest=smallest)
    assert plan_of(shapes(network)).size == size


def test_what_is_missing_or_odd_is_named() -> None:
    with torch.device("meta"):
        whole = shapes(Wav2Lip(8))
    lacking = {name: shape for name, shape in whole.items() if not name.startswith("face_decoder_blocks.3.")}
    with pytest.raises(
        InvalidInputError, match=r"18 of \d+ tensors are missing: face_decoder_blocks\.3\.0\.conv_block"
    ):
        plan_of(lacking)
    with pytest.raises(InvalidInputError, match=r"1 tensors are none of its: face_encoder_blocks.1.1.act.weight"):
        plan_of(whole | {"face_encoder_blocks.1.1.act.weight": (1,)})
    with pytest.raises(InvalidInputError, match=r"none of its 2 tensors .* it has binary_pred.0.bias"):
        plan_of({"binary_pred.0.weight": (1, 512, 1, 1), "binary_pred.0.bias": (1,)})
    odd = whole | {"audio_encoder.3.conv_block.0.weight": (9, 4, 3, 3)}
    with pytest.raises(InvalidInputError, match=r"audio_encoder.3.conv_block.0.bias has the shape \[8\] where \[9\]"):
        plan_of(odd)
    with pytest.raises(InvalidInputError, match="no square convolution"):
        plan_of(whole | {"face_encoder_blocks.2.1.conv_block.0.weight": (8, 8, 3)})
    with pytest.raises(InvalidInputError, match="down to 7 pixels"):
        plan_of(whole | {"face_encoder_blocks.6.0.conv_block.0.weight": (64, 64, 7, 7)})
    with pytest.raises(InvalidInputError, match="more blocks or layers"):
        plan_of(whole | {"face_encoder_blocks.100.0.conv_block.0.weight": (64, 64, 7, 7)})
