"""Several splits seen as one, so that a batch can mix their images without copying them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from data.dataset import Split
from data.gpu import is_gpu
from data.host import gathered
from data.retina import Retina


class ImagePool:
    """The images of some splits, numbered through: split 0 first, then split 1, ...

    >>> split = Split(torch.zeros(3, 8, 8, 1, dtype=torch.uint8), torch.arange(3), torch.arange(3), "")
    >>> pool = ImagePool([split, split])
    >>> pool.labels.tolist()
    [0, 1, 2, 0, 1, 2]
    """

    def __init__(self, splits: Sequence[Split]) -> None:
        self.splits = tuple(splits)
        self.labels = torch.cat([split.labels for split in splits])
        boxes = [split.boxes for split in splits]
        self.boxes = None if any(box is None for box in boxes) else torch.cat(boxes)  # type: ignore[arg-type]
        self.ids = torch.cat([split.ids for split in splits])
        lengths = torch.tensor([0] + [len(split) for split in splits])
        self.offsets = lengths.cumsum(0).tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def glimpses(self, retina: Retina, index: Tensor, locations: Tensor) -> Tensor:
        """(B, T, S*C, G, G) glimpses of the pool's images `index` (B,) at `locations` (B, T, 3)."""
        images = [split.images for split in self.splits]
        if locations.is_floating_point():
            return pooled(retina, images, index, locations)
        found: Tensor = torch.ops.hardattn.glimpses.default(
            images, index, locations, retina.size, retina.scales, retina.affine, retina.sides
        )
        return found


def pooled(retina: Retina, images: Sequence[Tensor], index: Tensor, locations: Tensor) -> Tensor:
    """(B, T, S*C, G, G) glimpses of several arrays of images, which are numbered through."""
    if is_gpu(index.device) and not is_gpu(images[0].device):
        return gathered(partial(pooled, retina, images), index, locations)
    if len(images) == 1:
        return retina(images[0], index, locations)
    if is_gpu(images[0].device):
        return _everywhere(retina, images, index, locations)
    parts, places, low = [], [], 0
    for some in images:
        chosen = ((index >= low) & (index < low + len(some))).nonzero().view(-1)
        parts.append(retina(some, index[chosen] - low, locations[chosen]))
        places.append(chosen)
        low += len(some)
    return torch.cat(parts)[torch.cat(places).argsort()]


def _everywhere(retina: Retina, images: Sequence[Tensor], index: Tensor, locations: Tensor) -> Tensor:
    """The same with glimpses of every array: a GPU takes them sooner than it says which are of which."""
    glimpses, low = retina(images[0], index.clamp(max=len(images[0]) - 1), locations), len(images[0])
    for some in images[1:]:
        found = retina(some, (index - low).clamp(0, len(some) - 1), locations)
        glimpses = torch.where((index >= low).view(-1, 1, 1, 1, 1), found, glimpses)
        low += len(some)
    return glimpses


torch.library.define(
    "hardattn::glimpses",
    "(Tensor[] images, Tensor index, Tensor places, int size, int scales, bool affine, int[] sides)"
    " -> Tensor",
    tags=(torch.Tag.cudagraph_unsafe,),
)


@torch.library.impl("hardattn::glimpses", "default")
def _glimpses(
    images: list[Tensor],
    index: Tensor,
    places: Tensor,
    size: int,
    scales: int,
    affine: bool,
    sides: Sequence[int],
) -> Tensor:
    """What is seen at whole pixels: an operator, which `torch.compile` takes as it is."""
    return pooled(Retina(size, scales, affine, tuple(sides)), images, index, places)


@torch.library.register_fake("hardattn::glimpses")  # type: ignore[untyped-decorator]
def _shape(
    images: list[Tensor],
    index: Tensor,
    places: Tensor,
    size: int,
    scales: int,
    affine: bool,
    sides: Sequence[int],
) -> Tensor:
    channels = scales * images[0].shape[3]
    return index.new_empty((*places.shape[:2], channels, size, size), dtype=torch.float32)
