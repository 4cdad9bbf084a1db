"""The glance: the whole image averaged down to the size of a glimpse, as one more place to look at."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from data.averaging import averaged_down
from data.grid import is_glance
from data.retina import Retina

_known: MutableMapping[Tensor, dict[int, Tensor]] = WeakTensorKeyDictionary()
"""Images -> side -> thumbnails, as long as the images live."""


@dataclass(frozen=True)
class GlancingRetina(Retina):
    """A retina that sees the whole image where the location is `data.grid.GLANCE`, and else a glimpse.

    A glance has as many values as any glimpse, and costs a network as much. With several scales it is the
    same for each. Ba, Mnih, Kavukcuoglu 2015 (arXiv 1412.7755) start from such an image, their context.

    >>> images = torch.full((1, 8, 8, 1), 51, dtype=torch.uint8)
    >>> images[0, :, 4:] = 102
    >>> GlancingRetina(2)(images, torch.tensor([0]), torch.full((1, 1, 2), -(2**15))).flatten().tolist()
    [0.20000000298023224, 0.4000000059604645, 0.20000000298023224, 0.4000000059604645]
    """

    def __call__(self, images: Tensor, index: Tensor, locations: Tensor) -> Tensor:
        """Glimpses in [0, 1], (B, T, S*C, G, G), see `Retina`."""
        glances = is_glance(locations)
        if not bool(glances.any()):
            return super().__call__(images, index, locations)
        glimpses = super().__call__(images, index, locations.masked_fill(glances[..., None], 0))
        small = thumbnails(images, self.size)[index].permute(0, 3, 1, 2).float() / 255
        shown = small.repeat(1, self.scales, 1, 1)[:, None]  # (B, 1, S*C, G, G)
        return torch.where(glances[..., None, None, None], shown, glimpses)


def thumbnails(images: Tensor, side: int) -> Tensor:
    """(N, G, G, C) uint8 area averages of images (N, H, W, C) uint8, rounded to grey levels.

    All images are read once, when a glance at any of them is first asked for; their thumbnails are kept.
    """
    sides = _known.setdefault(images, {})
    if side not in sides:
        sides[side] = averaged_down(images, side)
    return sides[side]
