"""Coarsely pooled glimpses at every location of a grid, without gathering the glimpses.

A glimpse of 16 x 16 pixels pooled to 4 x 4 is sixteen means of 4 x 4 pixels. Locations of a fine grid share
most of these, so the means of all boxes of an image are taken once and only sixteen numbers per colour are
gathered for a location: at 2,500 locations a sixteenth of the memory that the glimpses themselves would pass
through.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from data.retina import Retina

POOLED = 4


class PooledSensor:
    r"""The design matrices of linear read-outs: X' with rows of pooled pixels, and a last row of ones.

    $X'_l = [\mathrm{pool}_{4 \times 4}(\mathrm{sensor}(x_n, l)) - \tfrac12; 1]_{n \le B}$

    Where the side of a glimpse is a multiple of 4 they are gathered from box means; else the glimpses are.

    Args:
        retina: the sensor; D = 16 S C + 1 for S scales and C channels.
        locations: (L, 3) places, anywhere, all of side G.

    >>> sensor = PooledSensor(Retina(8), torch.tensor([[0, 0, 8], [3, 5, 8]]))
    >>> sensor(torch.full((6, 20, 20, 3), 255, dtype=torch.uint8)).shape
    torch.Size([2, 49, 6])
    """

    def __init__(self, retina: Retina, locations: Tensor) -> None:
        self.retina, self.locations = retina, locations

    def __call__(self, images: Tensor) -> Tensor:
        """(L, D, B) float32 for images (B, H, W, C) uint8."""
        if self.retina.size % POOLED:
            return self._from_glimpses(images)
        parts = [self._scale(images, 2**s) for s in range(self.retina.scales)]
        ones = images.new_full((len(self.locations), 1, len(images)), 1, dtype=torch.float32)
        return torch.cat([*parts, ones], 1)

    def _scale(self, images: Tensor, factor: int) -> Tensor:
        """(L, 16 C, B) of the patch that is `factor` times as wide as the finest."""
        side = self.retina.size * factor
        corners = self.locations[:, :2] - (factor - 1) * self.retina.size // 2
        inside, corners = _padded(images, corners, side)
        box = side // POOLED
        sums = box_sums(inside, box)  # (H', W', C, B)
        _, width, channels, count = sums.shape
        steps = torch.arange(0, side, box, device=corners.device)
        pixels = (corners[:, 0, None, None] + steps[:, None]) * width + corners[:, 1, None, None] + steps
        rows = pixels[..., None] * channels + torch.arange(channels, device=corners.device)
        means = sums.view(-1, count).index_select(0, rows.reshape(-1)).float()
        return means.div_(255 * box * box).sub_(0.5).view(len(corners), -1, count)

    def _from_glimpses(self, images: Tensor) -> Tensor:
        index = torch.arange(len(images), device=images.device)
        glimpses = self.retina(images, index, self.locations.expand(len(images), -1, -1))
        pooled = adaptive_avg_pool2d(glimpses.flatten(0, 1), POOLED).view(*glimpses.shape[:2], -1) - 0.5
        return torch.cat([pooled, torch.ones_like(pooled[..., :1])], -1).permute(1, 2, 0)


def box_sums(images: Tensor, side: int) -> Tensor:
    """Sum of every box of `side` x `side` pixels, exact: (H', W', C, B) integers for (B, H, W, C) uint8.

    >>> box_sums(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(1, 2, 2, 1), 2).item()
    510
    """
    enough = torch.int16 if 255 * side * side < 2**15 else torch.int32
    sums = images.permute(1, 2, 3, 0).contiguous().to(enough)  # images innermost: sums run over whole rows
    for axis in (0, 1):
        count = sums.shape[axis] - side + 1
        parts = [sums.narrow(axis, n, count) for n in range(side)]
        sums = parts[0].clone()
        for part in parts[1:]:
            sums += part
    return sums


def _padded(images: Tensor, corners: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Images with as much black around them as patches at the corners need, and the corners in them."""
    extent = torch.tensor(images.shape[1:3], device=corners.device)
    before = (-corners.amin(0)).clamp(min=0)
    after = (corners.amax(0) + side - extent).clamp(min=0)
    (top, left), (bottom, right) = before.tolist(), after.tolist()
    if not (top or left or bottom or right):
        return images, corners
    count, height, width, channels = images.shape
    padded = images.new_zeros(count, top + height + bottom, left + width + right, channels)
    padded[:, top : top + height, left : left + width] = images
    return padded, corners + before
