"""A network on the whole image whose convolutions are all factorised, as in MicroNet.

Li et al. 2021 (arXiv 2108.05894): a depthwise k x k convolution becomes k x 1 and 1 x k, a pointwise one two
in groups with few channels between, and an activation mixes the groups again. Written anew after the paper;
the stages are ours, so that any size of image and of network is served. Shapes: B images, C channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hardattn.baselines.choices import MEAN
from hardattn.baselines.layers import LAST_SIDE, Baseline, Image, read_out, scaled
from hardattn.baselines.registry import BASELINES

STEM, WIDEST = 8, 128  # channels; doubled at every stage, times `width`
SQUEEZE = (
    4  # channels for each of those between the two parts of a pointwise convolution, and of an activation
)
PIECES, BRANCHES = 2, 2  # J and K of the activation
EXPANSION = 2  # of the channels by the depthwise part


class ShiftMax(nn.Module):
    r"""Dynamic Shift-Max, $y_i = \max_k \sum_j a_{ij}^k(x)\, x_{(i + jC/J) \bmod C}$: equations 6 and 7.

    The J K C factors come from the mean of the map, through a hidden layer; they begin at 1 for k = 1, j = 0
    and at 0 elsewhere, and stay within 1 of that.

    Args:
        channels: C, even.

    >>> ShiftMax(8)(torch.zeros(2, 8, 5, 5)).shape
    torch.Size([2, 8, 5, 5])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // SQUEEZE, 2)
        self.factors = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, BRANCHES * PIECES * channels)
        )
        first = torch.zeros(BRANCHES, PIECES, 1)
        first[0, 0] = 1
        self.register_buffer("first", first)

    def forward(self, maps: Tensor) -> Tensor:
        count, channels = maps.shape[:2]
        raw = self.factors(maps.mean((2, 3))).view(count, BRANCHES, PIECES, channels)
        factors = 2 * raw.sigmoid() - 1 + self.first
        shifted = torch.stack([maps.roll(-piece * channels // PIECES, 1) for piece in range(PIECES)], 1)
        return torch.einsum("bkjc,bjchw->bkchw", factors, shifted).amax(1)


class MicroBlock(nn.Module):
    """[x +] expand(shuffle(compress(depthwise x))): micro-factorised, each part with its norm.

    compress and expand are pointwise in G groups, G the largest divisor of the channels with G^2 at most
    those between, which is where the paper's equation 3 has its best trade of paths and cost.

    Args:
        inputs, outputs: channels, multiples of 4.
        stride: of the depthwise part.
        kernel: k.

    >>> MicroBlock(8, 16, 2)(torch.zeros(2, 8, 7, 7)).shape
    torch.Size([2, 16, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int, kernel: int = 3) -> None:
        super().__init__()
        wide = EXPANSION * inputs
        between = max(wide // SQUEEZE, SQUEEZE)
        self.groups = groups_of(wide, between, outputs)
        self.depthwise = nn.Sequential(*factorised(inputs, wide, stride, kernel, inputs), ShiftMax(wide))
        self.compress = nn.Sequential(
            nn.Conv2d(wide, between, 1, groups=self.groups, bias=False), nn.BatchNorm2d(between)
        )
        self.expand = nn.Sequential(
            nn.Conv2d(between, outputs, 1, groups=self.groups, bias=False), nn.BatchNorm2d(outputs)
        )
        self.activation = ShiftMax(outputs)
        self.same = inputs == outputs and stride == 1

    def forward(self, maps: Tensor) -> Tensor:
        small = self.compress(self.depthwise(maps))
        mixed = small.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
        made = self.activation(self.expand(mixed))
        return maps + made if self.same else made


def groups_of(*channels: int) -> int:
    """The largest common divisor of numbers of channels whose square is at most the smallest of them.

    >>> groups_of(32, 8, 16), groups_of(64, 16, 32)
    (2, 4)
    """
    common, most = math.gcd(*channels), math.isqrt(min(channels))
    return max(divisor for divisor in range(1, most + 1) if common % divisor == 0)


def factorised(inputs: int, outputs: int, stride: int, kernel: int, groups: int) -> list[nn.Module]:
    """A k x k convolution as k x 1 and 1 x k, each with a norm; the second makes the outputs."""
    edge = kernel // 2
    return [
        nn.Conv2d(inputs, inputs, (kernel, 1), (stride, 1), (edge, 0), groups=groups, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, outputs, (1, kernel), (1, stride), (0, edge), groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


@BASELINES.register("micronet")
def micronet(image: Image, classes: int, *, width: float = 1.0, pooling: str = MEAN) -> Baseline:
    """Micro-factorised convolutions until the map has at most 4 a side, as in Li et al. 2021.

    After a factorised 3 x 3 convolution of stride 2 with 8 channels times `width`, every stage has one block
    of stride 2, which doubles the channels up to 128, and one of stride 1.

    >>> micronet((3, 32, 32), 2, width=0.5)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 2])
    """
    inputs, outputs, side = scaled(STEM, width), STEM, math.ceil(max(image[1:]) / 2)
    layers: list[nn.Module] = [*factorised(image[0], inputs, 2, 3, 1), nn.ReLU()]
    while side > LAST_SIDE:
        outputs = min(2 * outputs, WIDEST)
        channels = scaled(outputs, width)
        layers += [MicroBlock(inputs, channels, 2), MicroBlock(channels, channels, 1)]
        inputs, side = channels, math.ceil(side / 2)
    return read_out(layers, image, classes, pooling)
