"""The whole image averaged down to the size of a glimpse; kept, since it is asked for again and again."""

from __future__ import annotations

from collections.abc import MutableMapping

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from data.averaging import averaged_down

_known: MutableMapping[Tensor, dict[int, Tensor]] = WeakTensorKeyDictionary()
"""Images -> side -> thumbnails, as long as the images live."""


def thumbnails(images: Tensor, side: int) -> Tensor:
    """(N, G, G, C) uint8 area averages of images (N, H, W, C) uint8, rounded to grey levels.

    All images are read once, when a glance at any of them is first asked for; their thumbnails are kept. Ba,
    Mnih, Kavukcuoglu 2015 (arXiv 1412.7755) start from such an image, their context.

    >>> import torch
    >>> thumbnails(torch.full((1, 8, 8, 1), 51, dtype=torch.uint8), 2).flatten().tolist()
    [51, 51, 51, 51]
    """
    sides = _known.setdefault(images, {})
    if side not in sides:
        sides[side] = averaged_down(images, side)
    return sides[side]
