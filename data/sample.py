"""Which images of a split to take: a fair sample that grows without losing any."""

from __future__ import annotations

import torch
from torch import Tensor

from data.dataset import Split
from data.errors import SettingsError


def choose_images(split: Split, count: int | None) -> Tensor:
    """Ids of `count` images, of all of them without a count; a larger count adds to a smaller.

    Raises:
        SettingsError: the count is not positive, or more than there are.
    """
    if count is None:
        return split.ids.cpu()
    if not 1 <= count <= len(split):
        raise SettingsError(f"expected 1 to {len(split)} images, as many as there are, found {count}")
    return split.ids.cpu()[sample_rows(len(split), count)]


def image_count(images: str, available: int) -> int:
    """A number of images as on a command line: "all", or at most what there is.

    >>> image_count("all", 9), image_count("12", 9), image_count("3", 9)
    (9, 9, 3)
    """
    if images == "all":
        return available
    if not images.isdecimal():
        raise SettingsError(f"expected a number of images or all, found {images!r}")
    return min(int(images), available)


def sample_rows(total: int, count: int) -> Tensor:
    """`count` of `total` rows, increasing: a fair sample of sorted data, and part of every larger one.

    >>> smaller, larger = sample_rows(10, 4).tolist(), sample_rows(10, 6).tolist()
    >>> len(smaller), set(smaller) <= set(larger)
    (4, True)
    """
    order = torch.randperm(total, generator=torch.Generator().manual_seed(0))
    return order[:count].sort().values
