"""Variations of training images, made at the glimpse: mirrored, shifted, of other tone.

No image is changed or even read: a mirrored image is a mirrored glimpse of the mirrored place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data.geometry import Geometry
from data.gpu import sent
from data.grid import Grid, LocationGrid
from data.places import mirrored, moved
from hardattn.model.rollout import Look


def mirrored_columns(grid: LocationGrid) -> Tensor:
    """(W - G + 1,) the column to which each column of a glimpse comes to lie when the image is mirrored.

    From a column of the grid it is the nearest one of the grid.

    >>> mirrored_columns(LocationGrid.evenly((8, 8), 4, 3)).tolist()
    [4, 3, 2, 1, 0]
    """
    other = torch.arange(grid.image_size[1] - grid.glimpse_size, -1, -1)
    cols = torch.tensor(grid.cols)
    other[cols] = cols[(other[cols][:, None] - cols).abs().argmin(1)]
    return other


def mirrored_on_grid(places: Tensor, grid: Grid) -> Tensor:
    """(..., 3) where places (..., 3) come to lie when the image is mirrored; those of the grid stay on it.

    >>> mirrored_on_grid(torch.tensor([[2, 0, 4]]), LocationGrid.evenly((8, 8), 4, 3)).tolist()
    [[2, 4, 4]]
    """
    row, col, side = places.unbind(-1)
    other = mirrored(places, grid)[..., 1]
    for part in grid.parts:
        if part.glimpse_size <= grid.image_size[1]:  # the whole of a high image has no other place
            columns = sent(mirrored_columns(part), col.device)
            own = columns[col.clamp(max=len(columns) - 1)]
            other = torch.where(side == part.glimpse_size, own, other)
    return torch.stack([row, other, side], -1)


@dataclass(frozen=True)
class Variation:
    """How the images of one batch are varied.

    Attributes:
        flipped: (B,) bool, mirrored left to right.
        contrast: (B,) factor of the pixel values.
        tint: (B, C) added to the pixel values, C the channels of a glimpse.
        jitter: largest shift of a plain glimpse in each axis, in pixels; a wider one shifts further.
        generator: of the shifts; None: torch's own.
        mirrors: whether any image may be mirrored.
        tones: whether any may have another contrast or tint.
    """

    flipped: Tensor
    contrast: Tensor
    tint: Tensor
    jitter: int
    generator: torch.Generator | None = None
    mirrors: bool = True
    tones: bool = True

    @classmethod
    def draw(
        cls,
        count: int,
        geometry: Geometry,
        *,
        mirror: bool,
        tone: float,
        jitter: int,
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
    ) -> Variation:
        """Each image mirrored with probability a half; contrast and tint normal, of deviation `tone`.

        On the device of the generator, or on `device` by torch's own.
        """
        device = device if generator is None else generator.device
        flipped = torch.rand(count, generator=generator, device=device) < 0.5
        contrast = 1 + tone * torch.randn(count, generator=generator, device=device)
        tint = tone * torch.randn(count, geometry.channels, generator=generator, device=device)
        tint = tint.repeat(1, geometry.scales)
        return cls(flipped & mirror, contrast, tint, jitter, generator, mirrors=mirror, tones=tone > 0)

    def of(self, rows: Tensor | slice) -> Variation:
        """The variation of some of the images."""
        return replace(self, flipped=self.flipped[rows], contrast=self.contrast[rows], tint=self.tint[rows])

    def look(self, look: Look, grid: Grid) -> Look:
        """`look` as it is for the varied images; locations are theirs."""

        def varied(index: Tensor, locations: Tensor) -> Tensor:
            if not self.mirrors:
                glimpses = look(index, self._shifted(locations, grid))
            else:
                flip = self.flipped[:, None, None]
                taken = torch.where(flip, mirrored(locations, grid), locations)
                glimpses = look(index, self._shifted(taken, grid))
                glimpses = torch.where(flip[..., None, None], glimpses.flip(-1), glimpses)
            if not self.tones:
                return glimpses
            return glimpses * self.contrast.view(-1, 1, 1, 1, 1) + self.tint[:, None, :, None, None]

        return varied

    def locations(self, locations: Tensor, grid: Grid) -> Tensor:
        """(B, T, 3) places in the images -> those of the same places in the varied images.

        Locations of the grid stay on it.
        """
        if not self.mirrors:
            return locations
        return torch.where(self.flipped[:, None, None], mirrored_on_grid(locations, grid), locations)

    def reachable(self, boxes: Tensor, grid: Grid) -> Tensor:
        """(B, 6) of `hardattn.objectives.rewards.reachable` in the images -> in the varied images."""
        if not self.mirrors:
            return boxes
        row, first, last_row, last, *sizes = boxes.unbind(1)
        border = grid.image_size[1] - grid.glimpse_size
        other = torch.stack([row, border - last, last_row, border - first, *sizes], 1)
        return torch.where(self.flipped[:, None], other, boxes)

    def _shifted(self, locations: Tensor, grid: Grid) -> Tensor:
        """Places (B, T, 3), each a little beside itself: by the same share of its side, wide or not.

        Wide squares shift by multiples of side / G, as far as that is whole: so they are averages of the same
        blocks of pixels, see `data.pyramid`.
        """
        if not self.jitter:
            return locations
        span, shape = (-self.jitter, self.jitter + 1), (*locations.shape[:-1], 2)
        shift = torch.randint(*span, shape, generator=self.generator, device=locations.device)
        wider = torch.div(shift * locations[..., 2:], grid.glimpse_size, rounding_mode="trunc")
        return moved(locations, wider, grid)
