"""Where a glimpse may go: candidate places of one side or of several, and their indices."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from data.errors import SettingsError
from data.gpu import constant, is_gpu, sent
from data.places import normalise, places_at

SHARE = 4  # of a wide square's side that lies between two neighbouring ones


class _Candidates(ABC):
    """What both kinds of grid have: their places, also where a GPU computes."""

    _sent: dict[torch.device, Tensor]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sent", {})

    @property
    @abstractmethod
    def locations(self) -> Tensor:
        """(L, 3) int64 places: top-left pixels and sides."""

    def on(self, device: torch.device) -> Tensor:
        """(L, 3) the places on a device, sent there once.

        >>> LocationGrid.evenly((8, 8), 4, 2).on(torch.device("cpu"))[-1].tolist()
        [4, 4, 4]
        """
        if not is_gpu(device):
            return self.locations
        known = self._sent.get(device)
        if known is not None:
            return known
        if torch.compiler.is_compiling():
            return self.locations.to(device)
        with torch.inference_mode(False):
            self._sent[device] = sent(self.locations, device)
        return self._sent[device]


@dataclass(frozen=True)
class LocationGrid(_Candidates):
    """The candidate locations of one glimpse size in one image size, in row-major order.

    Args:
        rows, cols: top-left pixel rows and columns, strictly increasing.
        glimpse_size: side of the glimpse in pixels.
        image_size: (height, width) in pixels.
        first_glance: whether the first glimpse is a glance; the grid is for those after it.

    Raises:
        SettingsError: the glimpse is larger than the image, or the grid is empty or not increasing.

    >>> grid = LocationGrid.evenly((224, 224), 16, 50, last_excluded=True)
    >>> len(grid), grid.locations[51].tolist(), grid.index(torch.tensor([[4, 4, 16]])).tolist()
    (2500, [4, 4, 16], [51])
    """

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    glimpse_size: int
    image_size: tuple[int, int]
    first_glance: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = (self.rows, self.cols, self.glimpse_size) == ((0,), (0,), max(self.image_size))
        if not whole:
            _require_glimpse_inside(self.glimpse_size, self.image_size)
        for axis in (self.rows, self.cols):
            if not axis or any(b <= a for a, b in zip(axis, axis[1:], strict=False)):
                raise SettingsError(
                    f"expected strictly increasing grid positions, found {list(axis)}; "
                    "use fewer positions per axis"
                )

    @classmethod
    def evenly(
        cls, image_size: tuple[int, int], glimpse_size: int, per_axis: int, *, last_excluded: bool = False
    ) -> LocationGrid:
        """`per_axis` positions in each axis, `int(v) for v in linspace(0, last, per_axis)`.

        `last` is the last position inside the image, or the one before it when `last_excluded`
        (the grid of the published CelebA-HQ sequences: 0 to 207 for 16 pixels in 224).
        """
        _require_glimpse_inside(glimpse_size, image_size)
        rows, cols = (_axis(extent - glimpse_size - int(last_excluded), per_axis) for extent in image_size)
        return cls(rows, cols, glimpse_size, image_size)

    @classmethod
    def of_wide(cls, image_size: tuple[int, int], side: int, per_axis: int) -> LocationGrid:
        """Of squares that are averaged down: about a quarter of their side apart, `per_axis` at most.

        Both ends of each axis are among them. The whole image is one place, see `data.places`.

        >>> LocationGrid.of_wide((224, 224), 64, 50).rows
        (0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160)
        >>> LocationGrid.of_wide((60, 40), 60, 50).locations.tolist()
        [[0, 0, 60]]
        """
        if side == max(image_size):
            return cls((0,), (0,), side, image_size)
        _require_glimpse_inside(side, image_size)
        lasts = [extent - side for extent in image_size]
        rows, cols = (_axis(last, min(per_axis, -(-SHARE * last // side) + 1)) for last in lasts)
        return cls(rows, cols, side, image_size)

    def __len__(self) -> int:
        return len(self.rows) * len(self.cols)

    @property
    def parts(self) -> tuple[LocationGrid, ...]:
        """Itself: the grid of its only side."""
        return (self,)

    @property
    def sides(self) -> tuple[int, ...]:
        """None: there is but one."""
        return ()

    @cached_property
    def locations(self) -> Tensor:
        """(L, 3) int64 places: top-left pixels, and the side of a glimpse."""
        corners = torch.cartesian_prod(torch.tensor(self.rows), torch.tensor(self.cols)).view(-1, 2)
        return places_at(corners, self.glimpse_size)

    def find(self, locations: Tensor) -> tuple[Tensor, Tensor]:
        """Number of each place (..., 3), and whether it is on the grid: else the number says nothing."""
        rows, cols = (constant(axis, locations.device) for axis in (self.rows, self.cols))
        row = torch.searchsorted(rows, locations[..., 0].contiguous()).clamp(max=len(rows) - 1)
        col = torch.searchsorted(cols, locations[..., 1].contiguous()).clamp(max=len(cols) - 1)
        on_grid = (rows[row] == locations[..., 0]) & (cols[col] == locations[..., 1])
        return row * len(cols) + col, on_grid & (locations[..., 2] == self.glimpse_size)

    def index(self, locations: Tensor) -> Tensor:
        """Index in the grid of each place (..., 3); raises SettingsError for one that is not on it."""
        index, on_grid = self.find(locations)
        _require_found(locations, on_grid, f"side {self.glimpse_size} on the {self.size()} grid")
        return index

    def size(self) -> str:
        """Rows and columns, for messages."""
        return f"{len(self.rows)} x {len(self.cols)}"

    def normalised(self) -> Tensor:
        """(L, 2) centres in [-1, 1]."""
        return normalise(self.locations, self)


@dataclass(frozen=True)
class WidthGrid(_Candidates):
    """The candidate places of several sides: grids one after the other, the smallest side first.

    Args:
        parts: one for each side.
        glimpse_size: G, what squares are averaged down to.
        sides: that may be looked at, in pixels; also the whole image where only the first glimpse is that.
        first_glance: whether the first glimpse is a glance; the grid is for those after it.

    >>> grid = WidthGrid.evenly((28, 28), (8, 14, 28), per_axis=3)
    >>> len(grid), grid.locations[-1].tolist(), grid.index(torch.tensor([[0, 0, 14], [0, 0, 28]])).tolist()
    (19, [0, 0, 28], [9, 18])
    """

    parts: tuple[LocationGrid, ...]
    glimpse_size: int
    sides: tuple[int, ...]
    first_glance: bool = False

    @classmethod
    def evenly(
        cls,
        image_size: tuple[int, int],
        sides: tuple[int, ...],
        per_axis: int,
        *,
        last_excluded: bool = False,
        first_glance: bool = False,
    ) -> WidthGrid:
        """Plain glimpses as `LocationGrid.evenly` has them, and wider ones as `LocationGrid.of_wide` does.

        What a first glance has shown is not among them.

        Raises:
            SettingsError: a side larger than the image.
        """
        plain = LocationGrid.evenly(image_size, sides[0], per_axis, last_excluded=last_excluded)
        wider = [side for side in sides[1:] if not (first_glance and side == max(image_size))]
        parts = (plain, *(LocationGrid.of_wide(image_size, side, per_axis) for side in wider))
        return cls(parts, sides[0], sides, first_glance)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.parts[0].image_size

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @cached_property
    def locations(self) -> Tensor:
        """(L, 3) int64 places: top-left pixels and sides."""
        return torch.cat([part.locations for part in self.parts])

    def find(self, locations: Tensor) -> tuple[Tensor, Tensor]:
        """Number of each place (..., 3), and whether it is on the grid: else the number says nothing."""
        index, start = torch.full_like(locations[..., 0], -1), 0
        for part in self.parts:
            number, on_part = part.find(locations)
            index = torch.where(on_part, number + start, index)
            start += len(part)
        return index, index >= 0

    def index(self, locations: Tensor) -> Tensor:
        """Index in the grid of each place (..., 3); raises SettingsError for one that is not on it."""
        index, on_grid = self.find(locations)
        each = ", ".join(f"side {part.glimpse_size} on the {part.size()} grid" for part in self.parts)
        _require_found(locations, on_grid, each)
        return index

    def normalised(self) -> Tensor:
        """(L, 3) centres in [-1, 1], and widths in [0, 1]."""
        return normalise(self.locations, self)


Grid = LocationGrid | WidthGrid
"""Candidate places with numbers; it is among `data.places.Sizes`, by which places are measured."""


def doubling_sides(image_size: tuple[int, int], glimpse_size: int) -> tuple[int, ...]:
    """1, 2, 4, .. times the glimpse as far as they lie in the image, and the whole image.

    >>> doubling_sides((224, 224), 16), doubling_sides((60, 40), 40)
    ((16, 32, 64, 128, 224), (40, 60))
    """
    _require_glimpse_inside(glimpse_size, image_size)
    times = range(int(math.log2(min(image_size) / glimpse_size)) + 1)
    return tuple(dict.fromkeys([*(glimpse_size * 2**n for n in times), max(image_size)]))


def _axis(last: int, count: int) -> tuple[int, ...]:
    """Up to `count` whole positions from 0 to `last`."""
    return tuple(dict.fromkeys(int(v) for v in np.linspace(0, last, min(count, last + 1))))


def _require_found(locations: Tensor, found: Tensor, where: str) -> None:
    told = is_gpu(found.device) or torch.compiler.is_compiling()  # such places were looked at before
    if not told and not bool(found.all()):
        stray = locations[~found][0].tolist()
        raise SettingsError(f"expected places of {where}, found {stray}; use sequences made for this grid")


def _require_glimpse_inside(glimpse_size: int, image_size: tuple[int, int]) -> None:
    if not 0 < glimpse_size <= min(image_size):
        raise SettingsError(
            f"expected a glimpse of 1 to {min(image_size)} pixels for images of "
            f"{image_size[0]} x {image_size[1]}, found {glimpse_size}; choose a smaller glimpse"
        )
