"""Which images of a split to take: a fair sample that grows without losing any."""

from __future__ import annotations

import torch
from torch import Tensor

from data.dataset import Split
from data.errors import SettingsError
from data.shards import Shard


def choose_images(split: Split, count: int | None, shard: Shard | None = None) -> Tensor:
    """Ids of `count` images, of all of them without a count; a larger count adds to a smaller.

    Args:
        shard: only those of this shard.

    Raises:
        SettingsError: the count is not positive, or more than there are; or the shard has none of them.
    """
    if count is None and shard is None:
        return split.ids.cpu()
    count = len(split) if count is None else count
    if not 1 <= count <= len(split):
        raise SettingsError(f"expected 1 to {len(split)} images, as many as there are, found {count}")
    if shard is not None and not shard.size(count):
        raise SettingsError(f"expected at most {count} shards of {count} images, found shard {shard}")
    return split.ids.cpu()[sample_rows(len(split), count, shard)]


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


def sample_rows(total: int, count: int, shard: Shard | None = None) -> Tensor:
    """`count` of `total` rows, increasing: a fair sample of sorted data, and part of every larger one.

    Args:
        shard: only the rows of this shard, see `data.shards.Shard`.

    >>> smaller, larger = sample_rows(10, 4).tolist(), sample_rows(10, 6).tolist()
    >>> len(smaller), set(smaller) <= set(larger)
    (4, True)
    """
    order = torch.randperm(total, generator=torch.Generator().manual_seed(0))
    dealt = order[:count] if shard is None else order[shard.number - 1 : count : shard.of]
    return dealt.sort().values
