"""The painting network: what warping cannot give, taken from other pictures of the same mouth.

It sees the warped patch, the person's own mouth wide open, half open and closed, each stretched to the asked shape, and
that shape. For every 4x4 pixels it says how much of each to take, from how far beside, and how much lighter or darker
it is to be. All that is sharp in what comes out is the person's own pixels: the network cannot draw, so it cannot blur.
Its last layer has a part that belongs to a person, found in closed form (``inference_node/engine/learning.py``).
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference_node.engine import painter as tensors_of
from inference_node.engine.field import GRID_STEP, REACH
from inference_node.engine.likeness import BOTTOM, HEIGHT_PX, SIDE, TOP, WIDTH_PX
from inference_node.engine.painter import CELLS, COARSE, FEATURES, LIKENESSES, WINDOW_HEIGHT, WINDOW_WIDTH
from inference_node.engine.warp import PATCH
from inference_node.training.sampling import follow, lay, look_up
from inference_node.training.warp_export import Mouth, Spread, mouth_at, paint, pixels, smooth

_SHAPE = 6
_SEEN = 4 * 3 + LIKENESSES * 3 + _SHAPE
"""The warped window at its full size, the rest at half of it."""
_TOLD = LIKENESSES + 4
_STEM, _WIDE, _WIDER = 24, 48, 64
_THINNEST = 0.008
_REACHES_OUT = 0.055
"""Beyond the lips' outer edges the painting fades out over so many heights."""
_FADE_PX = 6.0
"""It is gone at the window's border."""
_BESIDE_PX = 5.0
"""A likeness may be taken from so far beside."""
_DECIDED = 4.0
"""How soon one likeness outdoes the others: what is mixed of two pictures is blurred."""
_CONTROLS = LIKENESSES * 3 + 3  # share, right and down of each; lightness


class Scene(NamedTuple):
    """What the network paints on, in its window; colours 0 to 1."""

    warped: Tensor
    """[N, 3, WINDOW_HEIGHT, WINDOW_WIDTH]"""
    pictures: Tensor
    """The likenesses [N * LIKENESSES, HEIGHT_PX, WIDTH_PX, 3] as ``likeness`` cuts them, 0 to 255."""
    gains: Tensor
    """What to multiply their colours by [N, LIKENESSES, 3]."""
    places: Tensor
    """Where in them each pixel lies, x and y in pixels [N, LIKENESSES, 2, WINDOW_HEIGHT, WINDOW_WIDTH]."""
    shape: Tensor
    """[N, _SHAPE, WINDOW_HEIGHT / 2, WINDOW_WIDTH / 2]"""
    mask: Tensor
    """[N, 1, WINDOW_HEIGHT, WINDOW_WIDTH]"""
    told: Tensor
    """Which likenesses there are, and numbers of the frame [N, _TOLD]."""

    def taken(self, places: Tensor) -> Tensor:
        """Colours of the likenesses at places like ``places`` [N, LIKENESSES, 3, h, w]."""
        flat = places.flatten(0, 1)
        colours = look_up(self.pictures, flat[:, 0], flat[:, 1]).transpose(0, 1)
        colours = colours.reshape(-1, LIKENESSES, 3, *places.shape[3:])
        return (colours * (self.gains / 255.0)[..., None, None]).clamp(0.0, 1.0)

    @property
    def cells(self) -> Tensor:
        """Which cell of the mouth a square belongs to, softly [N, CELLS, rows, columns]; they add up to 1."""
        place = functional.avg_pool2d(self.shape[:, 4:6], COARSE // 2)
        right = ((place[:, :1] + 0.75) * 2.0).clamp(0.0, 3.0)
        down = ((place[:, 1:] / 4.0 + 0.05) * 12.0).clamp(0.0, 2.0)
        rows = [(1.0 - (down - row).abs()).clamp(min=0.0) for row in range(3)]
        columns = [(1.0 - (right - column).abs()).clamp(min=0.0) for column in range(CELLS // 3)]
        return torch.cat([row * column for row in rows for column in columns], dim=1)


class Painter(nn.Module):
    """A small U-Net that ends at a quarter of the window's size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(_SEEN, _STEM, 3, padding=1)
        self.down = nn.Conv2d(_STEM, _WIDE, 3, stride=2, padding=1)
        self.told = nn.Linear(_TOLD, _WIDE)
        self.first = _block(_WIDE, _WIDE)
        self.deeper = nn.Conv2d(_WIDE, _WIDER, 3, stride=2, padding=1)
        self.second = nn.Sequential(_block(_WIDER, _WIDER), _block(_WIDER, _WIDER))
        self.up = _block(_WIDER + _WIDE, _WIDE)
        self.features = _block(_WIDE, FEATURES)
        self.head = nn.Conv2d(FEATURES, _CONTROLS, 1)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()  # type: ignore[union-attr] # the layer has one
            self.head.bias[:LIKENESSES] = -0.7  # type: ignore[index]

    def forward(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """The window painted without anything of the person's own, 0 to 1, and the last features (coarse)."""
        stretched = scene.taken(scene.places[..., ::2, ::2]) * scene.told[:, :LIKENESSES, None, None, None]
        seen = torch.cat([functional.pixel_unshuffle(scene.warped, 2), stretched.flatten(1, 2), scene.shape], dim=1)
        base = functional.relu(self.stem(seen))
        base = self.first(functional.relu(self.down(base) + self.told(scene.told)[..., None, None]))
        deep = self.second(functional.relu(self.deeper(base)))
        features = self.features(self.up(torch.cat([_larger(deep, 2), base], dim=1)))
        controls = _larger(self.head(features), COARSE)
        return _mixed(scene, controls), features


def _mixed(scene: Scene, controls: Tensor) -> Tensor:
    there = scene.told[:, :LIKENESSES, None, None]
    pull = torch.exp(_DECIDED * controls[:, :LIKENESSES].clamp(-4.0, 4.0)) * there
    # A closed mouth has no inside to show: stretched over an open one its lips would look like a tongue.
    between = functional.interpolate(scene.shape[:, :1], scale_factor=2.0, mode="bilinear", align_corners=False)
    pull = torch.cat([pull[:, :-1], pull[:, -1:] * (0.5 - 2.0 * between).clamp(0.0, 1.0)], dim=1)
    shares = pull / (1.0 + pull.sum(dim=1, keepdim=True))
    aside = torch.tanh(controls[:, LIKENESSES : 3 * LIKENESSES]) * _BESIDE_PX
    taken = scene.taken(scene.places + aside.reshape(scene.places.shape))
    change = (shares[:, :, None] * (taken - scene.warped[:, None])).sum(dim=1)
    return scene.warped + scene.mask * (change + controls[:, 3 * LIKENESSES :])


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU())


def _larger(picture: Tensor, times: int) -> Tensor:
    return functional.interpolate(picture, scale_factor=float(times), mode="bilinear", align_corners=False)


def personal(scene: Scene, features: Tensor, head: Tensor) -> Tensor:
    """What a person's own part of the last layer adds [N, 3, WINDOW_HEIGHT, WINDOW_WIDTH].

    ``head`` is [N, HEAD_OUTPUTS, VARIABLES].
    """
    count, _, height, width = features.shape
    mixed = torch.matmul(head, _explained(scene, features)).reshape(count, -1, height, width)
    return scene.mask * _larger(mixed, COARSE)


def sums(scene: Scene, painted: Tensor, features: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """What ridge regression needs: Gram matrices [N, V, V] and right sides [N, V, HEAD_OUTPUTS] of V variables."""
    weight = functional.avg_pool2d(scene.mask, COARSE).flatten(2)
    left = functional.avg_pool2d((truth - painted) * scene.mask, COARSE).flatten(2)
    variables = _explained(scene, features) * weight
    return torch.matmul(variables, variables.transpose(1, 2)), torch.matmul(variables, left.transpose(1, 2))


def _explained(scene: Scene, features: Tensor) -> Tensor:
    """The person's variables at every square [N, VARIABLES, squares]."""
    told = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    return (scene.cells[:, :, None] * told[:, None]).flatten(1, 2).flatten(2)


class Stage(nn.Module):
    """From tensors as the engine sends them to the scene."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = Spread()
        x, y = pixels(WINDOW_WIDTH, WINDOW_HEIGHT)
        self.register_buffer("x", x)
        self.register_buffer("y", y)
        border = torch.minimum(torch.minimum(x, WINDOW_WIDTH - 1.0 - x), torch.minimum(y, WINDOW_HEIGHT - 1.0 - y))
        self.register_buffer("border", smooth(border / _FADE_PX))

    def forward(self, tensors: Mapping[str, Tensor]) -> Scene:
        """The scene in the window of every frame."""
        corner = tensors["CORNER"]
        x = self.get_buffer("x") + corner[:, :1, None]
        y = self.get_buffer("y") + corner[:, 1:, None]
        mouth = mouth_at(tensors, x, y)
        flows = self.spread.part(tensors["FLOWS"], corner, WINDOW_WIDTH, WINDOW_HEIGHT)
        warped = paint(tensors, mouth, flows, x, y).clamp(0.0, 255.0) / 255.0
        ends = tensors["ASKED"][:, 4:6, None, None]
        lines = follow(tensors["LINES"], mouth.along)
        aside = torch.minimum(mouth.along - ends[:, 0], ends[:, 1] - mouth.along) * REACH
        beyond = torch.maximum(torch.maximum(lines[0] - mouth.depth, mouth.depth - lines[3]), -aside)
        mask = (1.0 - smooth((beyond - 0.008) / _REACHES_OUT)) * self.get_buffer("border")
        numbers = tensors["REF_NUMBERS"]
        return Scene(
            warped=warped.transpose(0, 1),
            pictures=tensors["REF_PICTURES"].flatten(0, 1),
            gains=numbers[:, :, :3],
            places=_places(mouth.depth, lines),
            shape=_shape(mouth, lines, aside),
            mask=mask[:, None],
            told=torch.cat([numbers[:, :, 3], tensors["ASKED"][:, :4]], dim=1),
        )


def _places(depth: Tensor, lines: Tensor) -> Tensor:
    """Where each likeness lies under the window, its lips on the asked ones."""
    shares = []
    for band in range(3):
        thickness = (lines[band + 1] - lines[band]).clamp(min=_THINNEST)
        shares.append(((depth - lines[band]) / thickness).clamp(0.0, 1.0))
    beyond = (depth - lines[0]).clamp(max=0.0) + (depth - lines[3]).clamp(min=0.0)
    found = []
    for number in range(LIKENESSES):
        there, *edges = lines[4 + 5 * number : 9 + 5 * number]
        place = edges[0] + beyond
        for band, share in enumerate(shares):
            place = place + share * (edges[band + 1] - edges[band])
        x = (there * (REACH / SIDE) + 1.0) * ((WIDTH_PX - 1) / 2.0)
        found.append(torch.stack([x, (place - TOP) * ((HEIGHT_PX - 1) / (BOTTOM - TOP))], dim=1))
    return torch.stack(found, dim=1)


def _shape(mouth: Mouth, lines: Tensor, aside: Tensor) -> Tensor:
    """Every other pixel of every other row, told where it lies."""
    upper, lower = mouth.depth - lines[1], mouth.depth - lines[2]
    hole = torch.minimum(upper, -lower).clamp(-0.02, 0.02) * 50.0
    distances = (torch.stack([upper, lower, aside], dim=1) * 12.0).clamp(-1.5, 1.5)
    told = torch.cat([hole[:, None], distances, mouth.along[:, None], mouth.depth[:, None] * 4.0], dim=1)
    return told[..., ::2, ::2]


class PaintingNetwork(nn.Module):
    """All of it: tensors of the engine in, painted patches out, bytes."""

    def __init__(self, painter: Painter) -> None:
        super().__init__()
        self.stage = Stage()
        self.painter = painter
        x, y = pixels(PATCH.width, PATCH.height)
        self.register_buffer("x", x)
        self.register_buffer("y", y)
        nodes = pixels(PATCH.width // GRID_STEP + 1, PATCH.height // GRID_STEP + 1)
        self.register_buffer("node_x", nodes[0] * GRID_STEP)
        self.register_buffer("node_y", nodes[1] * GRID_STEP)

    def forward(self, *given: Tensor) -> Tensor:
        """Paint N patches; the tensors are those of ``painter.INPUTS``, in that order."""
        tensors = dict(zip(tensors_of.INPUTS, given, strict=True))
        scene = self.stage(tensors)
        painted, features = self.painter(scene)
        window = (painted + personal(scene, features, tensors["HEAD"])) * 255.0
        return lay(self._around(tensors), _rounded(window.permute(0, 2, 3, 1)), tensors["CORNER"])

    def _around(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The patch without its mouth, bytes: there one field does, as those above and below the lips agree."""
        mouth = mouth_at(tensors, self.get_buffer("node_x"), self.get_buffer("node_y"))
        lower = (mouth.lip_below / (mouth.lip_above + mouth.lip_below).clamp(min=1e-3))[:, None]
        flows = tensors["FLOWS"]
        dense = self.stage.spread(flows[:, :2] * (1.0 - lower) + flows[:, 2:] * lower)
        picture = look_up(tensors["PATCH"], dense[:, 0] + self.get_buffer("x"), dense[:, 1] + self.get_buffer("y"))
        return _rounded(picture).permute(1, 2, 3, 0)


def _rounded(picture: Tensor) -> Tensor:
    return (picture + 0.5).clamp(0.0, 255.0).to(torch.uint8)


class LearningNetwork(nn.Module):
    """What ridge regression needs of frames whose truth is known (``sums``)."""

    def __init__(self, painter: Painter) -> None:
        super().__init__()
        self.stage = Stage()
        self.painter = painter

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of N frames; the tensors are those of ``painter.LEARN_INPUTS``, in that order."""
        tensors = dict(zip(tensors_of.LEARN_INPUTS, given, strict=True))
        scene = self.stage(tensors)
        painted, features = self.painter(scene)
        return sums(scene, painted, features, tensors["TRUTH"].permute(0, 3, 1, 2).float() / 255.0)
