"""Images at a lower resolution: splits and geometries of a network that does not see every pixel."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from data.averaging import averaged_down
from data.dataset import Split
from data.errors import SettingsError
from data.geometry import SMALLEST, Geometry

KEPT = 12  # splits that are kept in memory: three of four resolutions


def averaged_split(split: Split, resolution: int | None) -> Split:
    """The split with its images averaged down to R x R, in memory; as it is for None, or their own side."""
    if resolution is None or resolution == split.images.shape[1]:
        return split
    return replace(split, images=averaged_down(split.images, resolution))


@lru_cache(KEPT)
def at_resolution(split: Split, resolution: int | None) -> Split:
    """The same; the last dozen are kept.

    So many networks can be trained on the same small images in one process.
    """
    return averaged_split(split, resolution)


def seen_at(geometry: Geometry, resolution: int | None) -> Geometry:
    """The geometry of one glimpse that is the whole image, R x R; of all its pixels for None.

    Raises:
        SettingsError: a resolution that is no reduction, or of less than 2 pixels a side.

    >>> seen_at(Geometry(60, 60, 1, glimpse_size=60, per_axis=1), 16).glimpse_shape()
    (1, 16, 16)
    """
    if resolution is None:
        return geometry
    if not SMALLEST <= resolution <= geometry.height:
        raise SettingsError(
            f"expected a --resolution from {SMALLEST} to the images' {geometry.height}, found {resolution}"
        )
    return replace(geometry, height=resolution, width=resolution, glimpse_size=resolution)
