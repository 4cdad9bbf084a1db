"""Networks on the whole image that are made to be cheap: of depthwise separable convolutions.

A dense 3 x 3 convolution costs 9 C C' multiply-adds a pixel; one of each channel by itself (depthwise) and
then one over the channels (pointwise, 1 x 1) cost 9 C + C C'. Shapes: B images, C channels, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardattn.baselines.choices import MEAN
from hardattn.baselines.layers import LAST_SIDE, Baseline, Image, read_out, scaled
from hardattn.baselines.registry import BASELINES
from hardattn.model.convolutions import convolution

SMALL_IMAGE = 64  # images of at most this side are halved once less than photographs of 224
STEM, WIDEST = 16, 128  # channels of the plain separable network
INVERTED = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2)),
    (6, 320, 1, 1),
)  # factor of expansion, channels, blocks, stride: Sandler et al. 2018, table 2
INVERTED_STEM, INVERTED_HEAD = 32, 1280
SHUFFLED = ((116, 4), (232, 8), (464, 4))  # channels and blocks: Ma et al. 2018, table 5, "1x"
SHUFFLED_STEM, SHUFFLED_HEAD = 24, 1024


@BASELINES.register("separable")
def separable(image: Image, classes: int, *, width: float = 1.0, pooling: str = MEAN) -> Baseline:
    """Depthwise separable convolutions until the map has at most 4 a side (as in arXiv 1704.04861).

    After a dense 3 x 3 convolution of stride 2 with 16 channels times `width`, every stage has one separable
    convolution of stride 2, which doubles the channels up to 128, and one of stride 1.

    >>> separable((3, 32, 32), 2, width=0.5)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 2])
    """
    inputs, outputs, side = scaled(STEM, width), STEM, math.ceil(max(image[1:]) / 2)
    layers: list[nn.Module] = [*convolution(image[0], inputs, 2), nn.ReLU()]
    while side > LAST_SIDE:
        outputs = min(2 * outputs, WIDEST)
        channels = scaled(outputs, width)
        layers += [*_separable(inputs, channels, 2), *_separable(channels, channels, 1)]
        inputs, side = channels, math.ceil(side / 2)
    return read_out(layers, image, classes, pooling)


def _separable(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [
        *convolution(inputs, inputs, stride, groups=inputs),
        nn.ReLU(),
        *convolution(inputs, outputs, 1, kernel=1),
        nn.ReLU(),
    ]


class InvertedResidual(nn.Module):
    """[x +] project(relu6(depthwise(relu6(expand(x))))): Sandler et al. 2018 (arXiv 1801.04381), table 1.

    The sum is taken where size and channels stay; nothing is expanded by a factor of 1.

    >>> InvertedResidual(16, 24, 2, 6)(torch.zeros(2, 16, 7, 7)).shape
    torch.Size([2, 24, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int, factor: int, *, kernel: int = 3) -> None:
        super().__init__()
        wide = inputs * factor
        expand = [] if factor == 1 else [*convolution(inputs, wide, 1, kernel=1), nn.ReLU6()]
        self.layers = nn.Sequential(
            *expand,
            *convolution(wide, wide, stride, kernel=kernel, groups=wide),
            nn.ReLU6(),
            *convolution(wide, outputs, 1, kernel=1),
        )
        self.same = inputs == outputs and stride == 1

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.layers(maps) if self.same else self.layers(maps)


@BASELINES.register("mobilenet_v2")
def mobilenet_v2(image: Image, classes: int, *, width: float = 1.0, pooling: str = MEAN) -> Baseline:
    """MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381, table 2), of any width.

    Two things are made for small cost: the last layer of 1,280 channels is multiplied by `width` below 1,
    too, and images of at most 64 a side are halved four times instead of five.

    >>> mobilenet_v2((3, 32, 32), 2, width=0.25)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 2])
    """
    rows = [(factor, channels, (3,) * blocks, stride) for factor, channels, blocks, stride in INVERTED]
    layers, inputs = inverted_residuals(image, INVERTED_STEM, rows, width)
    head = scaled(INVERTED_HEAD, width)
    layers += [*convolution(inputs, head, 1, kernel=1), nn.ReLU6()]
    return read_out(layers, image, classes, pooling)


def inverted_residuals(
    image: Image, stem: int, rows: Sequence[tuple[int, int, Sequence[int], int]], width: float
) -> tuple[list[nn.Module], int]:
    """A dense convolution of stride 2 and stages of inverted residuals; and how many channels they end with.

    Args:
        stem: channels of the dense convolution.
        rows: of each stage the factor of expansion, channels, the kernel of each block, and stride. The last
            stride of 2 is 1 for images of at most `SMALL_IMAGE` a side.
    """
    inputs, small = scaled(stem, width), max(image[1:]) <= SMALL_IMAGE
    last = max(at for at, row in enumerate(rows) if row[3] == 2)
    layers: list[nn.Module] = [*convolution(image[0], inputs, 2), nn.ReLU6()]
    for at, (factor, channels, kernels, published) in enumerate(rows):
        stride = 1 if small and at == last else published
        for block, kernel in enumerate(kernels):
            first, outputs = stride if block == 0 else 1, scaled(channels, width)
            layers.append(InvertedResidual(inputs, outputs, first, factor, kernel=kernel))
            inputs = outputs
    return layers, inputs


class ShuffleUnit(nn.Module):
    """shuffle([x1, f(x2)]), x = [x1, x2] halves of the channels: Ma et al. 2018 (arXiv 1807.11164), figure 3.

    f is a pointwise, a depthwise and a pointwise convolution. With stride 2 both branches see all of x, and
    the first one is a depthwise and a pointwise convolution.

    Args:
        inputs, outputs: channels, even; the same with stride 1.
        stride: 1 or 2.

    >>> ShuffleUnit(24, 48, 2)(torch.zeros(2, 24, 7, 7)).shape
    torch.Size([2, 48, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.split, half = stride == 1, outputs // 2
        read = inputs // 2 if self.split else inputs
        shortcut = [
            *convolution(inputs, inputs, stride, groups=inputs),
            *convolution(inputs, half, 1, kernel=1),
            nn.ReLU(),
        ]
        self.first = nn.Sequential(*([] if self.split else shortcut))
        self.second = nn.Sequential(
            *convolution(read, half, 1, kernel=1),
            nn.ReLU(),
            *convolution(half, half, stride, groups=half),
            *convolution(half, half, 1, kernel=1),
            nn.ReLU(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        kept, changed = maps.chunk(2, 1) if self.split else (maps, maps)
        both = torch.stack([self.first(kept), self.second(changed)], 2)  # (B, C/2, 2, h, w): interleaved
        return both.flatten(1, 2)


@BASELINES.register("shufflenet_v2")
def shufflenet_v2(image: Image, classes: int, *, width: float = 1.0, pooling: str = MEAN) -> Baseline:
    """ShuffleNetV2 (Ma et al. 2018, arXiv 1807.11164, table 5), of any width.

    All its channels are those of "1x" times `width`. Images of at most 64 a side are not pooled after the
    first convolution, and so are halved four times instead of five.

    >>> shufflenet_v2((3, 32, 32), 2, width=0.25)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 2])
    """
    inputs, small = scaled(SHUFFLED_STEM, width), max(image[1:]) <= SMALL_IMAGE
    pool = [] if small else [nn.MaxPool2d(3, 2, 1)]
    layers: list[nn.Module] = [*convolution(image[0], inputs, 2), nn.ReLU(), *pool]
    for channels, blocks in SHUFFLED:
        outputs = scaled(channels, width)
        layers.append(ShuffleUnit(inputs, outputs, 2))
        layers += [ShuffleUnit(outputs, outputs, 1) for _ in range(blocks - 1)]
        inputs = outputs
    head = scaled(SHUFFLED_HEAD, width)
    layers += [*convolution(inputs, head, 1, kernel=1), nn.ReLU()]
    return read_out(layers, image, classes, pooling)
