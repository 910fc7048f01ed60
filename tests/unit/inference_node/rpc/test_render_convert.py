import pytest

from inference_node.render import messages as domain
from inference_node.render.service import NodeStatus
from inference_node.rpc.convert import message_of, response_of, status_of
from inference_node.triton.watchdog import TritonState
from shared.errors import InvalidInputError
from shared.media.encode import Codec, Coding
from shared.media.planes import Matrix
from shared.media.profile import BALANCED
from shared.pb.viseme.inference.v1 import render_pb2 as pb


def test_an_empty_message_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        message_of(pb.RenderRequest())


def test_an_unknown_matrix_is_refused_and_none_means_bt601() -> None:
    spec = message_of(pb.RenderRequest(spec=pb.RenderSpec(crop_px=320)))
    assert isinstance(spec, domain.JobSpec)
    assert spec.matrix is Matrix.BT601
    with pytest.raises(InvalidInputError):
        message_of(pb.RenderRequest(spec=pb.RenderSpec(color_matrix=99)))


def test_patches_are_what_the_edge_asks_for_and_balanced_where_it_does_not() -> None:
    coding = pb.VideoCoding(codec=pb.VIDEO_CODEC_AV1, crf=35, preset="6")
    spec = message_of(pb.RenderRequest(spec=pb.RenderSpec(patch=coding)))
    assert isinstance(spec, domain.JobSpec)
    assert spec.patch == Coding(codec=Codec.AV1, crf=35, preset="6")
    spec = message_of(pb.RenderRequest(spec=pb.RenderSpec()))
    assert isinstance(spec, domain.JobSpec)
    assert spec.patch == BALANCED.patch


@pytest.mark.parametrize(
    ("coding", "said"),
    [
        (pb.VideoCoding(codec=99), "codec 99"),  # type: ignore[arg-type]  # of a later version
        (pb.VideoCoding(crf=20, preset="medium"), "codec 0"),
        (pb.VideoCoding(codec=pb.VIDEO_CODEC_H264, crf=52, preset="medium"), "0 to 51"),
        (pb.VideoCoding(codec=pb.VIDEO_CODEC_H264, crf=float("nan"), preset="medium"), "0 to 51"),
        (pb.VideoCoding(codec=pb.VIDEO_CODEC_H264, crf=20, preset="placebo"), "no preset 'placebo'"),
        (pb.VideoCoding(codec=pb.VIDEO_CODEC_AV1, crf=35, preset="0"), "no preset '0'"),
    ],
)
def test_codings_that_are_unknown_or_too_dear_are_refused(coding: pb.VideoCoding, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as refused:
        message_of(pb.RenderRequest(spec=pb.RenderSpec(patch=coding)))
    assert refused.value.field.startswith("patch")


def test_no_list_of_faces_means_that_all_are_there() -> None:
    order = message_of(pb.RenderRequest(order=pb.SegmentOrder(source_frames=[4, 5], times_us=[0, 40_000])))
    assert isinstance(order, domain.Order)
    assert order.has_face == (True, True)


def test_a_rendered_segment_keeps_everything() -> None:
    complete = domain.Rendered(
        digest=b"d" * 32,
        size_bytes=3,
        patch=(2, 4, 6, 8),
        masks=((0.5, 0.25, 0.125, 0.5, 0.0, 1.0),),
        lips=domain.Lips(seen=(-1.0,), asked=(0.0625,), fates=(domain.Fate.TURNED_AWAY,)),
        queue_s=0.5,
        infer_s=1.25,
    )
    piece = domain.Piece(segment_index=7, offset=0, data=b"abc", complete=complete)
    rendered = response_of(piece).rendered
    assert (rendered.segment_index, rendered.data, rendered.complete.size_bytes) == (7, b"abc", 3)
    assert (rendered.complete.patch.x, rendered.complete.patch.height) == (2, 8)
    assert rendered.complete.masks[0].radius_x == 0.125
    assert (list(rendered.complete.lips_seen), list(rendered.complete.lips_asked)) == ([-1.0], [0.0625])
    assert list(rendered.complete.fates) == [pb.FRAME_FATE_TURNED_AWAY]
    assert rendered.complete.infer_time.ToMilliseconds() == 1250
    unfinished = domain.Piece(segment_index=7, offset=0, data=b"abc", complete=None)
    assert not response_of(unfinished).rendered.HasField("complete")


@pytest.mark.parametrize("state", list(TritonState))
def test_every_state_of_triton_has_a_word_on_the_wire(state: TritonState) -> None:
    status = NodeStatus(
        node="n",
        triton=state,
        engines=(),
        default_engine="warp",
        queued_segments=0,
        queue_limit=1,
        active_jobs=0,
        cache_bytes=0,
        cache_limit_bytes=1,
    )
    assert status_of(status, version="1").triton != pb.TRITON_STATE_UNSPECIFIED
