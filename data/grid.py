"""Where a glimpse may go: candidate places of one side, and their indices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from data.errors import SettingsError
from data.places import normalise, places_at


@dataclass(frozen=True)
class LocationGrid:
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

        def axis(extent: int) -> tuple[int, ...]:
            last = extent - glimpse_size - int(last_excluded)
            return tuple(dict.fromkeys(int(v) for v in np.linspace(0, last, min(per_axis, last + 1))))

        return cls(axis(image_size[0]), axis(image_size[1]), glimpse_size, image_size)

    def __len__(self) -> int:
        return len(self.rows) * len(self.cols)

    @cached_property
    def locations(self) -> Tensor:
        """(L, 3) int64 places: top-left pixels, and the side of a glimpse."""
        corners = torch.cartesian_prod(torch.tensor(self.rows), torch.tensor(self.cols)).view(-1, 2)
        return places_at(corners, self.glimpse_size)

    def index(self, locations: Tensor) -> Tensor:
        """Index in the grid of each place (..., 3); raises SettingsError for one that is not on it."""
        rows = torch.tensor(self.rows, device=locations.device)
        cols = torch.tensor(self.cols, device=locations.device)
        row = torch.searchsorted(rows, locations[..., 0].contiguous()).clamp(max=len(rows) - 1)
        col = torch.searchsorted(cols, locations[..., 1].contiguous()).clamp(max=len(cols) - 1)
        on_grid = (rows[row] == locations[..., 0]) & (cols[col] == locations[..., 1])
        on_grid &= locations[..., 2] == self.glimpse_size
        if not bool(on_grid.all()):
            stray = locations[~on_grid][0].tolist()
            raise SettingsError(
                f"expected places of side {self.glimpse_size} on the {len(rows)} x {len(cols)} grid, found "
                f"{stray}; "
                "use sequences made for this grid"
            )
        return row * len(cols) + col

    def normalised(self) -> Tensor:
        """(L, 2) centres in [-1, 1]."""
        return normalise(self.locations, self)


def _require_glimpse_inside(glimpse_size: int, image_size: tuple[int, int]) -> None:
    if not 0 < glimpse_size <= min(image_size):
        raise SettingsError(
            f"expected a glimpse of 1 to {min(image_size)} pixels for images of "
            f"{image_size[0]} x {image_size[1]}, found {glimpse_size}; choose a smaller glimpse"
        )
