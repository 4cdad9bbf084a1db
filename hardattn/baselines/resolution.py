"""Images at a lower resolution: what a network sees that may not see every pixel.

Shapes: N images, H and W their sides, R the side they are averaged down to, C channels.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from data.dataset import Split
from data.errors import SettingsError
from data.geometry import SMALLEST, Geometry

AT_ONCE = 128  # images that are floats at the same time
KEPT = 12  # splits that are kept in memory: three of four resolutions


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


def averaged_down(images: Tensor, resolution: int) -> Tensor:
    """(N, H, W, C) uint8 -> (N, R, R, C) uint8: means over equal rectangles, rounded.

    >>> averaged_down(torch.tensor([[0, 2], [4, 6]], dtype=torch.uint8).view(1, 2, 2, 1), 1).item()
    3
    """
    _, height, width, channels = images.shape
    rows, cols = (area_weights(side, resolution).to(images.device) for side in (height, width))

    def smaller(part: Tensor) -> Tensor:
        lines = rows @ part.float().flatten(2)  # (n, R, W*C)
        return (cols @ lines.view(-1, width, channels)).round().to(torch.uint8)

    parts = [smaller(part) for part in images.split(AT_ONCE)]
    return torch.cat(parts).view(-1, resolution, resolution, channels)


@lru_cache(KEPT)
def at_resolution(split: Split, resolution: int | None) -> Split:
    """The split with its images averaged down to R x R, in memory; as it is for None, or their own side.

    The last dozen are kept, so that many networks can be trained on the same small images in one process.
    """
    if resolution in (None, split.images.shape[1]):
        return split
    return replace(split, images=averaged_down(split.images, resolution))


def seen_at(geometry: Geometry, resolution: int | None) -> Geometry:
    """The geometry of one glimpse that is the whole image, R x R; of all its pixels for None.

    Raises:
        SettingsError: a resolution that is no reduction, or of less than 2 pixels a side.

    >>> seen_at(Geometry(60, 60, 1, glimpse_size=60, per_axis=1), 16).glimpse_shape()
    (1, 16, 16)
    """
    if resolution is None:
        return geometry
    if not SMALLEST <= resolution <= geometry.height:
        raise SettingsError(
            f"expected a --resolution from {SMALLEST} to the images' {geometry.height}, found {resolution}"
        )
    return replace(geometry, height=resolution, width=resolution, glimpse_size=resolution)
