"""Images summed over blocks, where wide squares of them are asked for again and again.

A square of side f G at a corner of multiples of f is G x G sums over blocks of f x f pixels, and all such
squares share these sums. To sum them all takes as long as to sum a quarter of the pixels square by square; so
that is done as soon as squares have read as many. What is seen does not depend on it: sums are whole numbers.

Shapes: N images, H and W their sides, C channels, f the side of a block, G the side of a glimpse.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, MutableMapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.weak import WeakTensorKeyDictionary

AT_ONCE = 64  # images that are summed at the same time
LARGEST_INT16 = 11  # side of the blocks of pixels whose sum int16 holds
PAID = 4  # times as long as all at once that square by square takes, pixel by pixel
MOST_BYTES = 2**30  # of what is kept of the same images


@dataclass
class Levels:
    """What is kept of the same images.

    Attributes:
        sums: what it is -> sums; a block's side f -> (N, ceil(H / f), ceil(W / f), C).
        read: what it is -> pixels that squares have read one by one.
    """

    sums: dict[Hashable, Tensor] = field(default_factory=dict)
    read: dict[Hashable, int] = field(default_factory=dict)

    def bytes(self) -> int:
        """That are kept."""
        return sum(sums.numel() * sums.element_size() for sums in self.sums.values())


_known: MutableMapping[Tensor, Levels] = WeakTensorKeyDictionary()
"""Images -> sums, as long as the images live."""


def summed(images: Tensor, factor: int, count: int) -> Tensor | None:
    """(N, ceil(H / f), ceil(W / f), C) sums over blocks of images (N, H, W, C), black beyond the border.

    None before they pay, or where there is no room for them.

    Args:
        images: of which squares are asked for.
        factor: f.
        count: pixels that have to be read without the sums.

    >>> images = torch.full((1, 4, 6, 1), 3, dtype=torch.uint8)
    >>> summed(images, 2, count=4), summed(images, 2, count=4).flatten().tolist()
    (None, [12, 12, 12, 12, 12, 12])
    """
    return kept(images, factor, count, _bytes(images, factor), partial(block_sums_of, images, factor))


def kept(images: Tensor, kind: Hashable, count: int, size: int, make: Callable[[], Tensor]) -> Tensor | None:
    """What is kept of images; made when so much was read that it would have paid, and None before.

    None also where there is no room for it beside what is kept of the same images.

    Args:
        images: of which it is.
        kind: what it is.
        count: pixels that have to be read without it.
        size: of it, in bytes.
        make: makes it, as fast as a quarter of the pixels are read.
    """
    levels = _known.setdefault(images, Levels())
    if kind not in levels.sums:
        levels.read[kind] = levels.read.get(kind, 0) + count
        if levels.read[kind] * PAID < images.numel() // images.shape[-1]:
            return None
        if levels.bytes() + size > MOST_BYTES:
            return None
        levels.sums[kind] = make()
    return levels.sums[kind]


def _bytes(images: Tensor, factor: int) -> int:
    count, height, width, channels = images.shape
    blocks = count * -(-height // factor) * -(-width // factor) * channels
    return blocks * whole_numbers(factor).itemsize


def whole_numbers(factor: int) -> torch.dtype:
    """Those that hold a sum over f x f pixels."""
    return torch.int16 if factor <= LARGEST_INT16 else torch.int32


def block_sums_of(images: Tensor, factor: int) -> Tensor:
    """What `summed` keeps, made anew."""
    return torch.cat([_sums(some, factor) for some in images.split(AT_ONCE)])


def _sums(images: Tensor, factor: int) -> Tensor:
    _, height, width, _ = images.shape
    beyond = (0, 0, 0, -width % factor, 0, -height % factor)
    padded = pad(images, beyond) if any(beyond) else images
    rows = padded.unflatten(1, (-1, factor))
    total = rows[:, :, 0].to(whole_numbers(factor))
    for row in range(1, factor):
        total += rows[:, :, row]
    cols = total.unflatten(2, (-1, factor))
    blocks = cols[:, :, :, 0].clone()
    for col in range(1, factor):
        blocks += cols[:, :, :, col]
    return blocks
