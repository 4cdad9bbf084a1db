"""Images that could as well be in the training split: shifted a little, or mirrored."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data.geometry import Geometry
from data.places import is_whole, jittered, mirrored

JITTER = 0.18  # of the glimpse size, in each direction


@dataclass(frozen=True)
class Augmentation:
    """What a glimpse at a place would be of an image that was moved, or mirrored left to right.

    No image is changed: the glimpse is gathered elsewhere in it, and perhaps flipped.

    Args:
        geometry: sensor and grid.
        jitter: whether images are shifted a little, for images in which a part is nearly at the same place.
        mirror: whether half of the images are mirrored, which must be as likely, and of the same class.
        roll: whether the whole image at a glance is rolled, for images in which nothing has its place: a
            glance tells the images of a training split apart so well that q would learn them by heart.

    >>> plain = Augmentation(Geometry(8, 8, 1, glimpse_size=4), jitter=False, mirror=False)
    >>> plain.gathered(torch.tensor([[[0, 1, 4]]]), torch.Generator())[0].tolist()
    [[[0, 1, 4]]]
    """

    geometry: Geometry
    jitter: bool
    mirror: bool
    roll: bool = False

    def gathered(self, places: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Where to gather the glimpses at places (B, T, 3), and which images (B,) are mirrored."""
        flipped = None
        if self.mirror:
            flipped = torch.randint(2, (len(places),), generator=generator).bool().to(places.device)
            places = torch.where(flipped[:, None, None], mirrored(places, self.geometry), places)
        if self.jitter:
            reach = round(JITTER * self.geometry.glimpse_size)
            places = jittered(places, reach, self.geometry, generator)
        return places, flipped

    def seen(
        self, glimpses: Tensor, flipped: Tensor | None, places: Tensor, generator: torch.Generator
    ) -> Tensor:
        """(B, T, S*C, G, G) glimpses at places (B, T, 3) as they are in the images, some of them mirrored."""
        if flipped is not None:
            glimpses = torch.where(flipped[:, None, None, None, None], glimpses.flip(-1), glimpses)
        if self.roll:
            by = torch.randint(self.geometry.glimpse_size, (2,), generator=generator).tolist()
            whole = is_whole(places, self.geometry)[..., None, None, None]
            glimpses = torch.where(whole, glimpses.roll(by, (-2, -1)), glimpses)
        return glimpses
