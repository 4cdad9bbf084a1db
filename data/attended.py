"""Which share of images is attended at each pixel: squares of glimpses, laid over all that they cover."""

from __future__ import annotations

import torch
from torch import Tensor


def attended_share(places: Tensor, image_size: tuple[int, int]) -> Tensor:
    """(H, W) double: the share of images whose glimpse covers each pixel; exact, of squares of any side.

    Squares are counted at their corners, and summed along rows and columns. What lies beyond the border is
    left out, and the whole image at a glance covers all of it. Of a retina it is the finest scale.

    Args:
        places: (B, 3), one glimpse of each image.
        image_size: (H, W).

    >>> attended_share(torch.tensor([[0, 0, 2], [1, 1, 2], [1, 1, 2], [0, 0, 4]]), (3, 4)).tolist()
    [[0.5, 0.5, 0.25, 0.25], [0.5, 1.0, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25]]
    """
    height, width = image_size
    top, left = (places[:, axis].clamp(0, size) for axis, size in enumerate(image_size))
    bottom, right = ((places[:, axis] + places[:, 2]).clamp(0, size) for axis, size in enumerate(image_size))
    changes = torch.zeros((height + 1) * (width + 1), dtype=torch.int64, device=places.device)
    for row, col, change in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        changes.index_add_(0, row * (width + 1) + col, torch.full_like(row, change))
    counts = changes.view(height + 1, width + 1).cumsum(0).cumsum(1)[:height, :width]
    return counts.double() / len(places)


def attended_by_any(places: Tensor, image_size: tuple[int, int]) -> Tensor:
    """(H, W) double: the share of images of which any of the glimpses covers each pixel.

    Args:
        places: (B, T, 3).
        image_size: (H, W).

    >>> attended_by_any(torch.tensor([[[0, 0, 2], [0, 1, 2]], [[0, 0, 2], [0, 0, 2]]]), (2, 4)).tolist()
    [[1.0, 1.0, 0.5, 0.0], [1.0, 1.0, 0.5, 0.0]]
    """
    total = torch.zeros(image_size, dtype=torch.int64)
    for image in places.cpu():  # one image at a time: a mask for all of them may be large
        covered = torch.zeros(image_size, dtype=torch.bool)
        for row, col, side in image.tolist():
            covered[max(row, 0) : max(row + side, 0), max(col, 0) : max(col + side, 0)] = True
        total += covered
    return total.double() / len(places)
