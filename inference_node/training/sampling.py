"""Looking pictures and curves up between their pixels, written so that onnxruntime does it fast on a processor.

``grid_sample`` would say it shorter; its kernel takes half as long again. Pictures come with their colours last, so
that a pixel is one row to fetch; what comes out has them first, [C, N, h, w], so that arithmetic runs over long rows.
"""

import torch
from torch import Tensor


def look_up(picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Colours of pictures [N, height, width, C] at places in pixels [N, h, w], linearly between; float [C, N, h, w].

    Beyond a picture's edge its last pixels go on.
    """
    _, height, width, channels = picture.shape
    x, y = x.clamp(0.0, width - 1.0), y.clamp(0.0, height - 1.0)
    left, top = x.floor().clamp(0.0, width - 2.0), y.floor().clamp(0.0, height - 2.0)
    right_part, lower_part = x - left, y - top
    # Numbers that are none, as a probe's zeros give, must not lead out of the picture.
    first = (top * width + left).long().clamp(0, (height - 1) * width - 2) + _starts(picture, height * width)
    rows = picture.reshape(-1, channels)

    def fetched(shift: int) -> Tensor:
        found = torch.index_select(rows, 0, (first + shift).reshape(-1))
        return found.transpose(0, 1).reshape(channels, *x.shape).float()

    first_row, second_row = fetched(0), fetched(width)
    upper = first_row + (fetched(1) - first_row) * right_part
    lower = second_row + (fetched(width + 1) - second_row) * right_part
    return upper + (lower - upper) * lower_part


def follow(curves: Tensor, along: Tensor) -> Tensor:
    """Values of curves [N, C, knots], which go from -1 to 1, at places [N, h, w]; [C, N, h, w]."""
    _, channels, knots = curves.shape
    place = ((along + 1.0) * ((knots - 1) / 2.0)).clamp(0.0, knots - 1.0)
    first = place.floor().clamp(0.0, knots - 2.0)
    rows = curves.transpose(1, 2).reshape(-1, channels)
    at = first.long().clamp(0, knots - 2) + _starts(curves, knots)

    def fetched(shift: int) -> Tensor:
        found = torch.index_select(rows, 0, (at + shift).reshape(-1))
        return found.transpose(0, 1).reshape(channels, *along.shape)

    before = fetched(0)
    return before + (fetched(1) - before) * (place - first)


def lay(picture: Tensor, part: Tensor, corner: Tensor) -> Tensor:
    """Pictures [N, height, width, C] with parts [N, h, w, C] laid over them, whose corners [N, 2] are whole pixels."""
    _, height, width, channels = picture.shape
    down = corner[:, 1].long()[:, None, None] + torch.arange(part.shape[1])[None, :, None]
    right = corner[:, 0].long()[:, None, None] + torch.arange(part.shape[2])[None, None]
    at = (down * width + right + _starts(picture, height * width)).reshape(-1)
    rows = picture.reshape(-1, channels).index_put((at,), part.reshape(-1, channels))
    return rows.reshape(-1, height, width, channels)


def _starts(like: Tensor, each: int) -> Tensor:
    """Where the rows of each of N begin [N, 1, 1]."""
    return (torch.arange(like.shape[0]) * each)[:, None, None]
