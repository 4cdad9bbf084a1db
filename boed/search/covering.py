"""Glimpses that cover an image, as q is taught at first where nothing says yet which of them tell."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from data.geometry import Geometry

GLIMPSES, MOST = 1024, 49  # of a batch, and of an image


def covering(geometry: Geometry, generator: torch.Generator) -> Tensor:
    """(B, T, 3) places of one side, drawn anew for every batch, that cover each of B images, in any order.

    One more square on each axis than would tile the image, about evenly spread: what one square cuts another
    shows whole. Where they are more than 49, as many of them by chance. The more there are the fewer images a
    batch has.

    Args:
        geometry: sensor; the whole image at a glance is not among the sides.
        generator: of all that is drawn.

    >>> covering(Geometry(8, 8, 1, glimpse_size=4), torch.Generator().manual_seed(0)).shape
    torch.Size([113, 9, 3])
    """
    sides = [side for side in geometry.sides if side <= min(geometry.image_size)] or [geometry.glimpse_size]
    side = sides[int(torch.randint(len(sides), (), generator=generator))]
    axes = [_spread(extent, side) for extent in geometry.image_size]
    grid = torch.cartesian_prod(*axes).view(-1, 2)
    count = min(MOST, len(grid))
    images = max(1, GLIMPSES // count)
    order = torch.rand(images, len(grid), generator=generator).argsort(1)[:, :count]
    room = torch.tensor(geometry.image_size) - side
    steps = room / torch.tensor([max(1, len(axis) - 1) for axis in axes])  # pixels between two squares
    shift = (torch.rand(images, count, 2, generator=generator) - 0.5) * steps
    corners = (grid[order] + shift).round().long()
    corners = torch.minimum(corners.clamp(min=0), room)
    return torch.cat([corners, torch.full_like(corners[..., :1], side)], -1)


def _spread(extent: int, side: int) -> Tensor:
    """First pixels of squares along one axis, one more than tile it."""
    return torch.linspace(0, extent - side, math.ceil(extent / side) + 1 if extent > side else 1)
