"""The geometry of a task: image size, glimpse, grid. Small, comparable, JSON-able."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from data.errors import SettingsError
from data.glance import GlancingRetina
from data.grid import LocationGrid, normalise
from data.retina import Retina

SMALLEST = 2  # what two strided convolutions can take


@dataclass(frozen=True)
class Geometry:
    """What fixes a sensor and its grid.

    Args:
        height, width, channels: of the images, in pixels.
        glimpse_size: side of the finest patch in pixels.
        scales: of the retina.
        per_axis: grid positions per axis.
        last_excluded: see `LocationGrid.evenly`.
        first_glance: whether the first glimpse is the whole image at a glance, see `data.glance`.

    >>> geometry = Geometry(60, 60, 1, glimpse_size=12, scales=1, per_axis=13)
    >>> len(geometry.grid()), geometry.grid().locations[-1].tolist()
    (169, [48, 48])
    """

    height: int
    width: int
    channels: int
    glimpse_size: int
    scales: int = 1
    per_axis: int = 13
    last_excluded: bool = False
    first_glance: bool = False

    def __post_init__(self) -> None:
        if self.scales < 1 or self.per_axis < 1:
            raise SettingsError(
                f"expected at least 1 scale and 1 grid position, found {self.scales} and {self.per_axis}"
            )
        if self.glimpse_size < SMALLEST:
            raise SettingsError(
                f"expected a glimpse of at least {SMALLEST} pixels, found {self.glimpse_size}; "
                "choose a larger --glimpse-size"
            )

    def grid(self) -> LocationGrid:
        """The candidate locations; raises SettingsError when the glimpse is larger than the image."""
        grid = LocationGrid.evenly(
            (self.height, self.width), self.glimpse_size, self.per_axis, last_excluded=self.last_excluded
        )
        return replace(grid, first_glance=self.first_glance)

    def centres(self, locations: Tensor) -> Tensor:
        """Normalised centres in [-1, 1] of glimpses at top-left pixels (..., 2), by `data.grid.normalise`."""
        return normalise(locations, self.glimpse_size, (self.height, self.width))

    def retina(self) -> Retina:
        kind = GlancingRetina if self.first_glance else Retina
        return kind(self.glimpse_size, self.scales)

    def glimpse_shape(self) -> tuple[int, int, int]:
        """(S*C, G, G) of one glimpse."""
        return (self.channels * self.scales, self.glimpse_size, self.glimpse_size)

    def to_json(self) -> dict[str, Any]:
        """As `Geometry(**...)` takes it; without a first glance nothing is said of it, as ever."""
        return {name: value for name, value in asdict(self).items() if name != "first_glance" or value}
