"""Glimpses at places between the pixels, through which a gradient flows: an affine crop.

Jaderberg et al. 2015 (arXiv 1506.02025), with a scale of its own for each place and no rotation.
Shapes: B images, T glimpses, C channels, G side of a glimpse.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from data.gpu import full_precision


def crops(images: Tensor, index: Tensor, places: Tensor, size: int, factor: int | None = None) -> Tensor:
    r"""(B, T, C, G, G) values in [0, 1] of the squares at places, averaged down to G x G.

    $y_{ij} = \frac{1}{f^2} \sum_{ab} x(r + (i + \tfrac{a + 1/2}{f}) \tfrac{s}{G}, \;
    c + (j + \tfrac{b + 1/2}{f}) \tfrac{s}{G}), \quad f = \lceil s_{max} / G \rceil$

    x being interpolated between the centres of pixels, and 0 outside. At whole pixels and sides that are
    multiples of G these are the glimpses of `data.retina.Retina`. With f = 1 every value is interpolated at
    one point, whatever the side: the affine crop of spatial transformers, [[s, 0, x], [0, s, y]] with
    s = side / H.

    Args:
        images: (N, H, W, C) uint8.
        index: (B,) int64, which image.
        places: (B, T, 3) float32 row, col and side, in pixels; they get a gradient.
        size: G.
        factor: f; None: as above.

    >>> images = torch.arange(16, dtype=torch.uint8).view(1, 4, 4, 1)
    >>> place = torch.tensor([[[0.5, 1.0, 2.0]]], requires_grad=True)
    >>> glimpse = crops(images, torch.tensor([0]), place, 2)
    >>> (255 * glimpse).round(decimals=3).flatten().tolist()
    [3.0, 4.0, 7.0, 8.0]
    >>> [round(float(slope), 3) for slope in torch.autograd.grad(255 * glimpse.mean(), place)[0].flatten()]
    [4.0, 1.0, 2.5]
    """
    count, steps, _ = places.shape
    height, width, channels = images.shape[1:]
    factor = _finest(places, size) if factor is None else factor
    fine = size * factor
    pixels = images[index].permute(0, 3, 1, 2).float() / 255
    with full_precision(images.device):  # bfloat16 cannot tell pixels apart
        maps = _maps(places.float().flatten(0, 1), height, width)
        grid = affine_grid(maps, [count * steps, 1, fine, fine], align_corners=False)
        grid = grid.reshape(count, steps * fine, fine, 2)
        sampled = grid_sample(pixels, grid, "bilinear", "zeros", align_corners=False)
    glimpses = sampled.view(count, channels, steps, fine, fine).transpose(1, 2)
    return avg_pool2d(glimpses.flatten(0, 1), factor).unflatten(0, (count, steps))


def _finest(places: Tensor, size: int) -> int:
    """f, at which no pixel of the widest square is left out."""
    return max(1, math.ceil(float(places[..., 2].detach().amax()) / size)) if places.numel() else 1


def _maps(places: Tensor, height: int, width: int) -> Tensor:
    """(M, 2, 3) from a glimpse, [-1, 1] across, to the image, [-1, 1] across: x before y, as torch has it."""
    row, col, side = places.unbind(-1)
    zero = torch.zeros_like(side)
    across = torch.stack([side / width, zero, (2 * col + side) / width - 1], -1)
    down = torch.stack([zero, side / height, (2 * row + side) / height - 1], -1)
    return torch.stack([across, down], -2)
