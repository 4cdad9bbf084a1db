"""The geometry of a task: image size, glimpse, grid. Small, comparable, JSON-able."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import Any

from torch import Tensor

from data.errors import SettingsError
from data.grid import LocationGrid
from data.places import normalise
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
        first_glance: whether the first glimpse is the whole image at a glance, see `data.places`.

    >>> geometry = Geometry(60, 60, 1, glimpse_size=12, scales=1, per_axis=13)
    >>> len(geometry.grid()), geometry.grid().locations[-1].tolist()
    (169, [48, 48, 12])
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
        for name in ("height", "width", "channels", "glimpse_size", "scales", "per_axis"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise SettingsError(f"expected {name} as a whole number, found {value!r}")
        if self.scales < 1 or self.per_axis < 1:
            raise SettingsError(
                f"expected at least 1 scale and 1 grid position, found {self.scales} and {self.per_axis}"
            )
        if self.glimpse_size < SMALLEST:
            raise SettingsError(
                f"expected a glimpse of at least {SMALLEST} pixels, found {self.glimpse_size}; "
                "choose a larger --glimpse-size"
            )

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.height, self.width)

    def grid(self) -> LocationGrid:
        """The candidate locations; raises SettingsError when the glimpse is larger than the image."""
        grid = LocationGrid.evenly(
            self.image_size, self.glimpse_size, self.per_axis, last_excluded=self.last_excluded
        )
        return replace(grid, first_glance=self.first_glance)

    def centres(self, places: Tensor) -> Tensor:
        """(..., 2) normalised centres of places (..., 3), by `data.places.normalise`."""
        return normalise(places, self)

    def retina(self) -> Retina:
        """The sensor."""
        return Retina(self.glimpse_size, self.scales)

    def glimpse_shape(self) -> tuple[int, int, int]:
        """(S*C, G, G) of one glimpse."""
        return (self.channels * self.scales, self.glimpse_size, self.glimpse_size)

    def to_json(self) -> dict[str, Any]:
        """As `Geometry(**...)` takes it; without a first glance nothing is said of it, as ever."""
        return {name: value for name, value in asdict(self).items() if name != "first_glance" or value}
