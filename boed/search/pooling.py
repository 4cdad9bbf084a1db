"""Coarsely pooled glimpses at every location of a grid, without gathering the glimpses.

A glimpse of 16 x 16 pixels pooled to 4 x 4 is sixteen means of 4 x 4 pixels. Locations of a fine grid share
most of these, so the means of all boxes of an image are taken once and only sixteen numbers per colour are
gathered for a location: at 2,500 locations a sixteenth of the memory that the glimpses themselves would pass
through. A wide square is a glimpse of the image averaged down, in which the same is done.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from data.geometry import Geometry
from data.pyramid import block_sums_of
from data.retina import Retina

POOLED = 4  # cells on each axis of a glimpse
FINELY_POOLED = (8, 7, 6, 5)  # of squares of several sides: 4 x 4 cells tell too little of a wide one


class PooledSensor:
    r"""The design matrices of linear read-outs: X' with rows of pooled pixels, and a last row of ones.

    $X'_l = [\mathrm{pool}_{P \times P}(\mathrm{sensor}(x_n, l)) - \tfrac12; 1]_{n \le B}$

    Where the side of a glimpse is a multiple of P they are gathered from box means; else the glimpses are.

    Args:
        retina: the sensor; D = P P S C + 1 for S scales and C channels.
        locations: (L, 3) places, anywhere, all of one side.
        pooled: P, cells on each axis, see `pooled_to`.

    >>> sensor = PooledSensor(Retina(8), torch.tensor([[0, 0, 8], [3, 5, 8]]))
    >>> sensor(torch.full((6, 20, 20, 3), 255, dtype=torch.uint8)).shape
    torch.Size([2, 49, 6])
    """

    def __init__(self, retina: Retina, locations: Tensor, pooled: int = POOLED) -> None:
        self.retina, self.locations, self.pooled = retina, locations, pooled

    def __call__(self, images: Tensor) -> Tensor:
        """(L, D, B) float32 for images (B, H, W, C) uint8."""
        side = int(self.locations[0, 2])
        factor, rest = divmod(side, self.retina.size)
        between = rest or bool((self.locations[:, :2] % factor).any())
        oblong = side > min(images.shape[1:3])  # the whole image, whose cells are no squares
        if self.retina.size % self.pooled or between or oblong:
            return self._from_glimpses(images)
        shown = images if factor == 1 else block_sums_of(images, factor)
        parts = [self._scale(shown, 2**s, factor) for s in range(self.retina.scales)]
        ones = images.new_full((len(self.locations), 1, len(images)), 1, dtype=torch.float32)
        return torch.cat([*parts, ones], 1)

    def _scale(self, images: Tensor, scale: int, factor: int) -> Tensor:
        """(L, P P C, B) of patches `scale` times as wide as the finest, of sums over `factor` pixels."""
        side = self.retina.size * scale
        corners = self.locations[:, :2] // factor - (scale - 1) * self.retina.size // 2
        inside, corners = _padded(images, corners, side)
        box = side // self.pooled
        sums = box_sums(inside, box, 255 * factor**2)  # (H', W', C, B)
        _, width, channels, count = sums.shape
        steps = torch.arange(0, side, box, device=corners.device)
        pixels = (corners[:, 0, None, None] + steps[:, None]) * width + corners[:, 1, None, None] + steps
        rows = pixels[..., None] * channels + torch.arange(channels, device=corners.device)
        means = sums.view(-1, count).index_select(0, rows.reshape(-1)).float()
        return means.div_(255 * (box * factor) ** 2).sub_(0.5).view(len(corners), -1, count)

    def _from_glimpses(self, images: Tensor) -> Tensor:
        index = torch.arange(len(images), device=images.device)
        glimpses = self.retina(images, index, self.locations.expand(len(images), -1, -1))
        pooled = adaptive_avg_pool2d(glimpses.flatten(0, 1), self.pooled).view(*glimpses.shape[:2], -1) - 0.5
        return torch.cat([pooled, torch.ones_like(pooled[..., :1])], -1).permute(1, 2, 0)


def pooled_to(geometry: Geometry) -> int:
    """P, cells on each axis that a glimpse is pooled to.

    >>> faces = Geometry(224, 224, 3, glimpse_size=16)
    >>> pooled_to(faces), pooled_to(Geometry(224, 224, 3, glimpse_size=12, sides=(12, 24)))
    (4, 6)
    """
    finer = FINELY_POOLED if geometry.sides else ()
    return next((cells for cells in finer if geometry.glimpse_size % cells == 0), POOLED)


def box_sums(images: Tensor, side: int, largest: int = 255) -> Tensor:
    """Sum of every box of `side` x `side` pixels, exact: (H', W', C, B) integers for (B, H, W, C).

    Args:
        images: whole numbers.
        side: in pixels.
        largest: value of a pixel.

    >>> box_sums(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(1, 2, 2, 1), 2).item()
    510
    """
    enough = torch.int16 if largest * side * side < 2**15 else torch.int32
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
