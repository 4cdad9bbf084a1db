"""Sequences of several sources as masks: places at which any image can be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boed.search.covering import covering
from data.dataset import Split
from data.geometry import Geometry
from data.places import jittered, mirrored
from data.stages import stage

BATCH = 128
JITTER = 0.18  # of a place's side, in each direction


@dataclass(frozen=True)
class Masks:
    """Where each of S sources looks in the same N images.

    Attributes:
        locations: (S, N, T, 3) places.
        split: holds the images.
        rows: (N,) rows of the images in it.
        geometry: sensor and grid.
    """

    locations: Tensor
    split: Split
    rows: Tensor
    geometry: Geometry

    def take(self, chosen: Tensor) -> Masks:
        """The masks of some of the images; `chosen` is an index or a mask (N,)."""
        return Masks(self.locations[:, chosen], self.split, self.rows[chosen], self.geometry)


@stage("batches")
def draw(
    split: Split, pool: Tensor, masks: Masks, alike: int, generator: torch.Generator, *, mirror: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """A batch of glimpses (B, T, S*C, G, G), centres (B, T, P) and labels (B,) for training.

    Images are of the rows `pool`. They are mirrored with probability a half where the class does not mind,
    and glimpses are gathered a few pixels beside the place that the judge is told.
    """
    device = masks.rows.device
    rows = pool[torch.randint(len(pool), (BATCH,), generator=generator).to(device)]
    sources = torch.randint(len(masks.locations), (BATCH,), generator=generator)
    flipped = (torch.rand(BATCH, generator=generator) < 0.5 * mirror).to(device)
    places = pair(masks, sources, split, rows, flipped, alike, generator)
    reach = round(JITTER * masks.geometry.glimpse_size)
    beside = jittered(places, reach, masks.geometry, generator)
    glimpses = look(split, rows, beside, masks.geometry, flipped)
    return glimpses, masks.geometry.centres(places), split.labels[rows]


@stage("batches")
def covered_batch(
    split: Split, pool: Tensor, geometry: Geometry, generator: torch.Generator, *, mirror: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The same with glimpses that cover each image, see `boed.search.covering`."""
    device = split.images.device
    places = covering(geometry, generator).to(device)
    rows = pool[torch.randint(len(pool), (len(places),), generator=generator).to(device)]
    flipped = (torch.rand(len(places), generator=generator) < 0.5 * mirror).to(device)
    glimpses = look(split, rows, places, geometry, flipped)
    return glimpses, geometry.centres(places), split.labels[rows]


@stage("fitting masks")
def pair(
    masks: Masks,
    sources: Tensor,
    split: Split,
    rows: Tensor,
    flipped: Tensor,
    alike: int,
    generator: torch.Generator,
) -> Tensor:
    """(B, T, 3) a mask for each image: of `alike` random ones, that whose own image looks most alike there.

    $\\arg\\min_m \\sum_t \\lVert y_{l_t(m)}(x) - y_{l_t(m)}(x_m) \\rVert^2$ over masks m made for images x_m.
    With one mask there is no choice. Labels are not looked at.

    Args:
        sources: (B,) whose masks.
        rows: (B,) images of `split`, of which those in `flipped` (B,) are seen mirrored.
    """
    count = len(rows)
    drawn = torch.randint(len(masks.rows), (count, alike), generator=generator)
    offered = masks.locations[sources[:, None], drawn].to(rows.device)  # (B, P, T, 3)
    if alike == 1:
        return offered[:, 0]
    each = offered.flatten(0, 1)
    straight = torch.zeros(len(each), dtype=torch.bool, device=rows.device)
    own = look(masks.split, masks.rows[drawn.flatten().to(rows.device)], each, masks.geometry, straight)
    seen = look(split, rows.repeat_interleave(alike), each, masks.geometry, flipped.repeat_interleave(alike))
    nearest = (own - seen).square().flatten(1).sum(1).view(count, alike).argmin(1)
    return offered[torch.arange(count, device=rows.device), nearest]


def look(split: Split, rows: Tensor, places: Tensor, geometry: Geometry, flipped: Tensor) -> Tensor:
    """(B, T, S*C, G, G) glimpses of images at places (B, T, 3), of which some are mirrored left to right.

    A glimpse of a mirrored image is the mirrored glimpse of the mirrored place.
    """
    taken = torch.where(flipped[:, None, None], mirrored(places, geometry), places)
    glimpses = geometry.retina()(split.images, rows, taken)
    return torch.where(flipped.view(-1, 1, 1, 1, 1), glimpses.flip(-1), glimpses)
