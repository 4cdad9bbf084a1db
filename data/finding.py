"""Whether glimpses find what matters: the share of squares that hold it, beside random and central ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from data.errors import DataError
from data.geometry import Geometry
from data.grid import LocationGrid
from data.places import in_the_middle, is_whole

CHUNK = 200  # images at a time, whose every square of the grid is looked at
HIDDEN = -(2**31)  # row and column of a pixel that is in no square


@dataclass(frozen=True)
class FindingRow:
    """How often glimpse t finds a part, as shares of the images that show it.

    Attributes:
        step: t, from 1.
        images: how many show the part.
        found: of the squares that were looked at.
        error: standard error of `found` over images.
        by_now: of the images that any glimpse up to t has found.
        by_now_error: standard error of `by_now` over images.
        random: expected of squares as wide, uniform over the grid of their side.
        central: of squares as wide in the middle of the image.
        side: mean side of the squares in pixels, 0 where all are a glance at the whole image.
    """

    step: int
    images: int
    found: float
    error: float
    by_now: float
    by_now_error: float
    random: float
    central: float
    side: float

    def to_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def find(places: Tensor, parts: Tensor, geometry: Geometry) -> list[FindingRow]:
    r"""One row for each glimpse: the share of squares that hold a part, beside random and central ones.

    $\mathrm{found}_t = \frac1N \sum_n [\, l_{nt} \ni p_n \,]$ and, with $G_s$ the grid of side s,
    $\mathrm{random}_t = \frac1N \sum_n \frac{1}{|G_{s_{nt}}|} \sum_{l \in G_{s_{nt}}} [\, l \ni p_n \,]$.

    A square holds a part when it holds the pixel that the part lies in; of several parts any one will do. A
    glance at the whole image finds nothing, nor do its rivals. Of a retina the finest square counts.

    Args:
        places: (N, T, 3).
        parts: (N, P, 2) row and column in pixels; NaN where hidden. Images without any are left out.
        geometry: of image, glimpse and grid.

    Raises:
        DataError: no image shows a part.

    >>> geometry = Geometry(12, 12, 1, glimpse_size=4, per_axis=3)
    >>> places = torch.tensor([[[0, 0, 4], [8, 8, 4]], [[4, 4, 4], [0, 0, 12]]])
    >>> rows = find(places, torch.tensor([[[9.5, 9.5]], [[5.0, 5.0]]]), geometry)
    >>> [(row.found, row.by_now, round(row.random, 3), row.central) for row in rows]
    [(0.5, 0.5, 0.111, 0.5), (0.5, 1.0, 0.056, 0.0)]
    """
    pixels = pixels_of(parts, geometry)
    shown = (pixels != HIDDEN).any(-1).any(-1)
    if not bool(shown.any()):
        raise DataError(f"expected images that show the part, found none of {len(shown)}; take another part")
    places, pixels = places[shown].cpu(), pixels[shown]
    looks = ~is_whole(places, geometry)  # (N, T)
    found = holds(places, pixels) & looks
    rivals = (by_chance(places, pixels, geometry), by_centre(places, pixels, geometry))
    sides = (places[..., 2] * looks).double().sum(0) / looks.sum(0).clamp(min=1)
    shares = (*_share(found), *_share(found.cummax(1).values), *rivals, sides)
    columns = torch.stack(shares, 1).tolist()
    return [FindingRow(step, len(places), *column) for step, column in enumerate(columns, 1)]


def _share(found: Tensor) -> tuple[Tensor, Tensor]:
    """(T,) the shares of images (N, T) bool, and their standard errors."""
    shares = found.double()
    return shares.mean(0), shares.std(0, unbiased=False) / len(found) ** 0.5


def pixels_of(parts: Tensor, geometry: Geometry) -> Tensor:
    """(N, P, 2) int64 row and column of the pixels that parts (N, P, 2) lie in, `HIDDEN` where they are NaN.

    >>> geometry = Geometry(12, 12, 1, glimpse_size=4)
    >>> pixels_of(torch.tensor([[[12.0, 3.9], [torch.nan, torch.nan]]]), geometry)[0].tolist()
    [[11, 3], [-2147483648, -2147483648]]
    """
    last = torch.tensor(geometry.image_size) - 1
    pixels = parts.cpu().nan_to_num().floor().long().clamp(min=torch.zeros_like(last), max=last)
    return pixels.masked_fill(parts.cpu().isnan().any(-1, keepdim=True), HIDDEN)


def holds(places: Tensor, pixels: Tensor) -> Tensor:
    """(N, T) bool: whether squares (N, T, 3) hold any of the pixels (N, P, 2).

    >>> holds(torch.tensor([[[0, 0, 4], [0, 1, 4]]]), torch.tensor([[[3, 4]]])).tolist()
    [[False, True]]
    """
    beyond = pixels[:, None] - places[:, :, None, :2]  # (N, T, P, 2) from the first corner
    return ((beyond >= 0) & (beyond < places[:, :, None, 2:])).all(-1).any(-1)


def by_chance(places: Tensor, pixels: Tensor, geometry: Geometry) -> Tensor:
    """(T,) the share of squares that hold a pixel if each is anywhere on the grid of its side.

    The whole image holds none.

    Args:
        places: (N, T, 3), of which only the sides matter.
        pixels: (N, P, 2).
    """
    sides, whole = places[..., 2], is_whole(places, geometry)
    expected = torch.zeros(sides.shape, dtype=torch.float64)
    for side in sides[~whole].unique().tolist():
        grid = grid_of(side, geometry).locations
        chunks = [
            holds(grid.expand(len(some), -1, -1), some).double().mean(1) for some in pixels.split(CHUNK)
        ]
        expected = torch.where((sides == side) & ~whole, torch.cat(chunks)[:, None], expected)
    return expected.mean(0)


def by_centre(places: Tensor, pixels: Tensor, geometry: Geometry) -> Tensor:
    """(T,) the share of squares that hold a pixel if each is in the middle of the image; see `by_chance`."""
    central = in_the_middle(places[..., 2], geometry.image_size)
    found = holds(central, pixels) & ~is_whole(places, geometry)
    return found.double().mean(0)


def grid_of(side: int, geometry: Geometry) -> LocationGrid:
    """The places of squares of one side.

    >>> geometry = Geometry(128, 128, 3, glimpse_size=16, per_axis=29)
    >>> [len(grid_of(side, geometry)) for side in (16, 32, 64)]
    [841, 169, 25]
    """
    if side == geometry.glimpse_size:
        return geometry.grid().parts[0]
    return LocationGrid.of_wide(geometry.image_size, side, geometry.per_axis)


def finding_table(found: Sequence[tuple[str, Sequence[FindingRow]]], part: str) -> str:
    """A line for each source and glimpse, in per cent of the images.

    Args:
        found: names of sources, and their rows.
        part: what is looked for, in words.

    >>> row = FindingRow(2, 600, 0.12, 0.01, 0.15, 0.02, 0.015, 0.05, 16.0)
    >>> print(finding_table([("design", [row])], "mouth"))
    mouth in the square, % of images (standard error), beside random and central squares of the same sides
    source                    t images found        by now        random  central  side, pixels
    design                    2    600  12.0 (1.0)   15.0 (2.0)      1.5      5.0            16
    """
    names = ("source", "t", "images", "found", "by now", "random", "central", "side, pixels")
    head = "{:<24} {:>2} {:>6} {:<12} {:<12} {:>7} {:>8} {:>13}".format(*names)
    lines = [
        f"{name:<24} {row.step:>2} {row.images:>6} "
        f"{_per_cent(row.found, row.error):<12} {_per_cent(row.by_now, row.by_now_error):<12} "
        f"{100 * row.random:>7.1f} {100 * row.central:>8.1f} {row.side:>13.0f}"
        for name, rows in found
        for row in rows
    ]
    caption = (
        "in the square, % of images (standard error), beside random and central squares of the same sides"
    )
    return "\n".join([f"{part} {caption}", head, *lines])


def _per_cent(share: float, error: float) -> str:
    return f"{100 * share:5.1f} ({100 * error:.1f})"
