"""The geometry of a task: image size, glimpse, grid. Small, comparable, JSON-able."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from numbers import Integral
from typing import Any

from torch import Tensor

from data.errors import SettingsError, one_line
from data.grid import Grid, LocationGrid, WidthGrid, doubling_sides
from data.places import normalise
from data.retina import Retina
from data.side_names import ALL_SIDES, MAGNIFICATION

LARGEST = 2**15 - 1  # of what a store keeps of places
SMALLEST = 2  # what two strided convolutions can take
LATER = ("first_glance", "sides", "affine")  # what files say nothing of where it is not used, as ever


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
        sides: of the squares that may be looked at, all averaged down to the glimpse, increasing from its
            size on; () is that size alone. The side of the image is the whole image. "all" is short for
            `data.grid.doubling_sides`. Of an affine sensor they only say on which scale widths are told.
        affine: whether squares of any side, anywhere, are interpolated, see `data.crop`; `affine_crops`
            makes such a geometry.

    Raises:
        SettingsError: an impossible size, or sides that are not such.

    >>> geometry = Geometry(60, 60, 1, glimpse_size=12, scales=1, per_axis=13)
    >>> len(geometry.grid()), geometry.grid().locations[-1].tolist()
    (169, [48, 48, 12])
    >>> wide = replace(geometry, sides=(12, 24, 60))
    >>> len(wide.grid()), wide.grid().locations[-1].tolist(), wide.coordinates
    (219, [0, 0, 60], 3)
    """

    height: int
    width: int
    channels: int
    glimpse_size: int
    scales: int = 1
    per_axis: int = 13
    last_excluded: bool = False
    first_glance: bool = False
    sides: tuple[int, ...] = ()
    affine: bool = False

    def __post_init__(self) -> None:
        for name in ("height", "width", "channels", "glimpse_size", "scales", "per_axis"):
            value = getattr(self, name)
            if not _is_whole_number(value) or value > LARGEST:
                raise SettingsError(
                    f"expected {name} as a whole number up to {LARGEST:,}, found {one_line(value)}; change it"
                )
        if self.scales < 1 or self.per_axis < 1:
            raise SettingsError(
                f"expected at least 1 scale and 1 grid position, found {self.scales} and {self.per_axis}"
            )
        if self.glimpse_size < SMALLEST:
            raise SettingsError(
                f"expected a glimpse of at least {SMALLEST} pixels, found {self.glimpse_size}; "
                "choose a larger --glimpse-size"
            )
        object.__setattr__(self, "sides", self._possible(self.sides))

    def _possible(self, asked: object) -> tuple[int, ...]:
        """The sides, () for the glimpse's alone; raises SettingsError for those that no grid can have."""
        if asked == ALL_SIDES:
            return self._possible(doubling_sides(self.image_size, self.glimpse_size))
        if not isinstance(asked, list | tuple) or not all(_is_whole_number(side) for side in asked):
            raise SettingsError(f"expected sides as whole numbers, or {ALL_SIDES}, found {one_line(asked)}")
        sides = tuple(int(side) for side in asked)
        if not sides or sides == (self.glimpse_size,):
            return ()
        least, most, whole = self.glimpse_size, min(self.image_size), max(self.image_size)
        increasing = all(a < b for a, b in pairwise(sides))
        if sides[0] != least or not increasing or any(most < side != whole for side in sides):
            up_to = f"{most}" if most == whole else f"{most}, or {whole} for the whole image"
            raise SettingsError(
                f"expected increasing sides from the glimpse's {least} up to {up_to}, found {list(sides)}; "
                "change --sides or --glimpse-size"
            )
        if self.scales > 1:
            raise SettingsError(
                f"expected 1 scale with several sides, found {self.scales}; leave --scales or --sides out"
            )
        return sides

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.height, self.width)

    @property
    def coordinates(self) -> int:
        """How many numbers say where a glimpse was, see `centres`."""
        return 3 if self.sides else 2

    def grid(self) -> Grid:
        """The candidate locations; raises SettingsError when the glimpse is larger than the image."""
        if self.sides:
            return WidthGrid.evenly(
                self.image_size,
                self.sides,
                self.per_axis,
                last_excluded=self.last_excluded,
                first_glance=self.first_glance,
            )
        grid = LocationGrid.evenly(
            self.image_size, self.glimpse_size, self.per_axis, last_excluded=self.last_excluded
        )
        return replace(grid, first_glance=self.first_glance)

    def centres(self, places: Tensor) -> Tensor:
        """(..., 2) normalised centres of places (..., 3), or (..., 3), by `data.places.normalise`."""
        return normalise(places, self)

    def retina(self) -> Retina:
        """The sensor."""
        return Retina(self.glimpse_size, self.scales, self.affine)

    def known_retina(self) -> Retina:
        """The sensor for places of this geometry's own sides alone, see `data.retina.Retina`."""
        plain = (self.glimpse_size, max(self.image_size)) if self.first_glance else (self.glimpse_size,)
        return replace(self.retina(), sides=self.sides or plain)

    def glimpse_shape(self) -> tuple[int, int, int]:
        """(S*C, G, G) of one glimpse."""
        return (self.channels * self.scales, self.glimpse_size, self.glimpse_size)

    def to_json(self) -> dict[str, Any]:
        """As `Geometry(**...)` takes it; a first glance and sides are told of only where there are any."""
        values = asdict(self) | {"sides": list(self.sides)}
        return {name: value for name, value in values.items() if name not in LATER or value}


def affine_crops(images: Geometry, magnification: float = MAGNIFICATION) -> Geometry:
    """The geometry of affine crops: the whole image, then any squares, all seen as floor(H / M) pixels wide.

    Tan et al. 2021 (arXiv 2111.02018), where M is 224 / 96. With M = 1 all pixels are seen.

    Args:
        images: their sizes, and their grid positions per axis.
        magnification: M, at least 1.

    Raises:
        SettingsError: images that are no squares, or an M that leaves no glimpse.

    >>> import torch
    >>> crops = affine_crops(Geometry(224, 224, 3, glimpse_size=16))
    >>> crops.glimpse_shape(), crops.first_glance, crops.centres(torch.tensor([0.0, 0.0, 224.0])).tolist()
    ((3, 96, 96), True, [0.0, 0.0, 1.0])
    """
    height, width = images.image_size
    if height != width:
        raise SettingsError(f"expected square images for affine crops, found {height} x {width}; crop them")
    if not 1 <= magnification <= height / SMALLEST:
        raise SettingsError(
            f"expected a --magnification from 1 to {height / SMALLEST:g} for images of {height} pixels, "
            f"found {magnification:g}; change it"
        )
    size = math.floor(height / magnification)
    sides = tuple(dict.fromkeys((size, height)))
    return Geometry(
        *(height, width, images.channels, size),
        per_axis=images.per_axis,
        first_glance=True,
        sides=sides,
        affine=True,
    )


def _is_whole_number(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
