"""Images averaged down: what is seen of an image that is not seen at every pixel.

Shapes: N images, H and W their sides, R the side they are averaged down to, C channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from data.gpu import full_precision, sent

AT_ONCE = 128  # images that are floats at the same time


def area_weights(size: int, resolution: int) -> Tensor:
    """(R, size) share of every pixel in each of R equal intervals; rows add up to 1.

    A pixel on a border belongs to both sides, in proportion: so R need not divide the size.

    >>> area_weights(3, 2)
    tensor([[0.6667, 0.3333, 0.0000],
            [0.0000, 0.3333, 0.6667]])
    """
    borders = torch.arange(resolution + 1, dtype=torch.float64) * size / resolution
    pixels = torch.arange(size, dtype=torch.float64)
    ends = torch.minimum(borders[1:, None], pixels + 1) - torch.maximum(borders[:-1, None], pixels)
    return (ends.clamp(min=0) * resolution / size).float()


def averages(images: Tensor, resolution: int) -> Tensor:
    """(N, H, W, C) uint8 -> (N, R, R, C) float32: means over equal rectangles, in grey levels.

    >>> averages(torch.tensor([[0, 2], [4, 8]], dtype=torch.uint8).view(1, 2, 2, 1), 1).item()
    3.5
    """
    _, height, width, channels = images.shape
    rows, cols = (sent(area_weights(side, resolution), images.device) for side in (height, width))
    with full_precision(images.device):  # bfloat16 rounds to whole grey levels
        lines = rows @ images.float().flatten(2)  # (N, R, W*C)
        means: Tensor = cols @ lines.view(-1, width, channels)
    return means.view(-1, resolution, resolution, channels)


def square_averages(patches: Tensor, size: int) -> Tensor:
    """(N, P, P, C) uint8 -> (N, G, G, C) float32: `averages`, whatever P and G, the same to the last bit.

    Weights and sums are whole numbers, so that no order of additions changes them.

    >>> square_averages(torch.tensor([[0, 2, 4]] * 3, dtype=torch.uint8).view(1, 3, 3, 1), 2)[0, 0, :, 0]
    tensor([0.6667, 3.3333])
    """
    count, side, _, channels = patches.shape
    units = side // math.gcd(side, size)  # of which a cell has so many on each axis
    exact = torch.float32 if 255 * units**2 < 2**24 else torch.float64
    weights = (sent(area_weights(side, size), patches.device) * units).round().to(exact)  # (G, P)
    lines = weights @ patches.to(exact).flatten(2)  # (N, G, P*C)
    sums: Tensor = weights @ lines.view(-1, side, channels)
    return (sums.view(count, size, size, channels) / units**2).float()


def averaged_down(images: Tensor, resolution: int) -> Tensor:
    """(N, H, W, C) uint8 -> (N, R, R, C) uint8: `averages`, rounded.

    >>> averaged_down(torch.tensor([[0, 2], [4, 6]], dtype=torch.uint8).view(1, 2, 2, 1), 1).item()
    3
    """
    return torch.cat([averages(part, resolution).round().to(torch.uint8) for part in images.split(AT_ONCE)])
