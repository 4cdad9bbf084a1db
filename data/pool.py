"""Several splits seen as one, so that a batch can mix their images without copying them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from data.dataset import Split
from data.gpu import is_gpu
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
        """(B, T, S*C, G, G) glimpses of the pool's images `index` (B,) at `locations` (B, T, 2)."""
        if len(self.splits) == 1:
            return retina(self.splits[0].images, index, locations)
        if is_gpu(self.splits[0].images.device):
            return self._everywhere(retina, index, locations)
        parts, places = [], []
        for split, low, high in zip(self.splits, self.offsets, self.offsets[1:], strict=False):
            chosen = ((index >= low) & (index < high)).nonzero().view(-1)
            parts.append(retina(split.images, index[chosen] - low, locations[chosen]))
            places.append(chosen)
        return torch.cat(parts)[torch.cat(places).argsort()]

    def _everywhere(self, retina: Retina, index: Tensor, locations: Tensor) -> Tensor:
        """The same with glimpses of all splits: a GPU takes them sooner than it says which are of which."""
        first, *others = zip(self.splits, self.offsets, self.offsets[1:], strict=False)
        glimpses = retina(first[0].images, index.clamp(max=first[2] - 1), locations)
        for split, low, high in others:
            found = retina(split.images, index.clamp(low, high - 1) - low, locations)
            glimpses = torch.where((index >= low).view(-1, 1, 1, 1, 1), found, glimpses)
        return glimpses
