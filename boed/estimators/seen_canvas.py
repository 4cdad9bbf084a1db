"""What is known of images as a coarse canvas: glimpses of any side pasted where they were seen."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from data.geometry import Geometry
from data.places import is_whole


class SeenCanvas:
    r"""Glimpses on R x R cells of the image, as statistics that add.

    A cell's colour is the mean of what was seen of it, and a finer glimpse counts more,

    $\bar x = \frac{\sum_i (G / s_i)^2\, c_i x_i}{\sum_i (G / s_i)^2\, c_i}$

    where c_i is the share of the cell that glimpse i of side s_i covers. Beside it stands for each octave of
    sides how much of the cell was seen so finely.

    Args:
        geometry: of images and sensor.
        cells: R.

    >>> canvas = SeenCanvas(Geometry(8, 8, 1, glimpse_size=4), cells=2)
    >>> added = canvas.pasted(torch.ones(1, 1, 4, 4), torch.tensor([[4, 0, 4]]))
    >>> canvas.shown(added).squeeze(0)[:2].tolist()
    [[[0.0, 0.0], [0.5, 0.0]], [[0.0, 0.0], [1.0, 0.0]]]
    """

    def __init__(self, geometry: Geometry, cells: int) -> None:
        self.geometry, self.cells = geometry, cells
        widest = max(geometry.image_size) / geometry.glimpse_size
        self.octaves = 1 + math.ceil(math.log2(widest))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of what is added: colours, their weight, and the coverage of each octave."""
        return (self.geometry.channels + 1 + self.octaves, self.cells, self.cells)

    @property
    def channels(self) -> int:
        """Of what is shown."""
        return self.geometry.channels + self.octaves

    def pasted(self, glimpses: Tensor, places: Tensor) -> Tensor:
        """(N, *shape) of one glimpse each, (N, S*C, G, G) in [0, 1] at places (N, 3)."""
        geometry = self.geometry
        patches = glimpses.unflatten(1, (geometry.scales, geometry.channels))
        return sum(
            (self._patch(patches[:, scale], _of_scale(places, scale)) for scale in range(geometry.scales)),
            start=glimpses.new_zeros(len(glimpses), *self.shape),
        )

    def shown(self, total: Tensor) -> Tensor:
        """(N, channels, R, R) colours about 0, and 0 where nothing was seen; coverages up to 1."""
        colours, weight, coverage = total.split([self.geometry.channels, 1, self.octaves], 1)
        mean = colours / weight.clamp(min=1e-6) - 0.5 * (weight > 0)
        return torch.cat([mean, coverage.clamp(max=1)], 1)

    def _patch(self, patch: Tensor, places: Tensor) -> Tensor:
        """(N, *shape) of values (N, C, G, G) that squares at places (N, 3) are averaged down to."""
        geometry, sides = self.geometry, places[:, 2]
        whole = is_whole(places, geometry)
        rows, cols = (
            self._overlap(start, torch.where(whole, extent, sides), extent).to(patch)
            for start, extent in zip(places[:, :2].unbind(1), geometry.image_size, strict=True)
        )  # (N, R, G)
        colours = torch.einsum("nrg,ncgh,nsh->ncrs", rows, patch, cols)
        cover = rows.sum(2)[:, None, :, None] * cols.sum(2)[:, None, None, :]  # (N, 1, R, R)
        fineness = (geometry.glimpse_size / sides).square()[:, None, None, None].to(patch)
        octave = (sides / geometry.glimpse_size).log2().round().long().clamp(0, self.octaves - 1)
        coverage = cover * torch.nn.functional.one_hot(octave, self.octaves)[..., None, None]
        return torch.cat([fineness * colours, fineness * cover, coverage.to(patch)], 1)

    def _overlap(self, start: Tensor, side: Tensor, extent: int) -> Tensor:
        """(N, R, G) share of each cell of an axis that each value of a square covers."""
        size = self.geometry.glimpse_size
        step = (side / size)[:, None, None]
        low = start[:, None, None] + step * torch.arange(size, device=start.device)  # (N, 1, G)
        cell = extent / self.cells
        edge = cell * torch.arange(self.cells, device=start.device)[:, None]  # (R, 1)
        return (torch.minimum(low + step, edge + cell) - torch.maximum(low, edge)).clamp(min=0) / cell


def _of_scale(places: Tensor, scale: int) -> Tensor:
    """Places of the patches of one scale of a retina, which all have the same centre."""
    if scale == 0:
        return places
    side = places[:, 2:] * 2**scale
    return torch.cat([places[:, :2] - (side - places[:, 2:]) // 2, side], 1)
