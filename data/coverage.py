"""Whether glimpses hold their object: the share of its box in each, beside random and central squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from data.places import Sizes, in_the_middle


@dataclass(frozen=True)
class CoverageRow:
    """How much of the object glimpse t holds, as shares of its box, means over images.

    Attributes:
        step: t, from 1.
        images: how many show an object.
        share: of the box that is in the square that was looked at.
        error: standard error of `share` over images.
        random: expected of squares as wide, uniform over all that lie within the image.
        central: of squares as wide in the middle of the image.
        side: mean side of the squares in pixels.
    """

    step: int
    images: int
    share: float
    error: float
    random: float
    central: float
    side: float

    def to_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def coverage(places: Tensor, boxes: Tensor, sizes: Sizes) -> list[CoverageRow]:
    r"""One row for each glimpse: the share of the object's box that it holds.

    $\mathrm{share}_t = \frac1N \sum_n |l_{nt} \cap b_n| / |b_n|$

    The whole image holds all of it. Of a retina the finest square counts, of a box what lies in the image.

    Args:
        places: (N, T, 3).
        boxes: (N, 4) first row and column of the object, and those after its last. Images without any of it
            are left out; where no image has one, there are no rows.
        sizes: of the images.

    >>> from data.geometry import Geometry
    >>> places = torch.tensor([[[0, 0, 60], [10, 20, 10], [30, 30, 10], [10, 20, 5]]])
    >>> rows = coverage(places, torch.tensor([[10, 20, 20, 30]]), Geometry(60, 60, 1, glimpse_size=10))
    >>> [row.share for row in rows]
    [1.0, 1.0, 0.0, 0.25]
    """
    last = torch.tensor(sizes.image_size)
    boxes = torch.cat([boxes.cpu()[:, :2].clamp(min=0), torch.minimum(boxes.cpu()[:, 2:], last)], -1)
    shown = (boxes[:, 2:] > boxes[:, :2]).all(-1)
    if not bool(shown.any()):
        return []
    places, boxes = places.cpu()[shown], boxes[shown]
    held, sides = covered(places, boxes), places[..., 2]
    columns = (
        held.mean(0),
        held.std(0, unbiased=False) / len(held) ** 0.5,
        _by_chance(sides, boxes, sizes).mean(0),
        covered(in_the_middle(sides, sizes.image_size), boxes).mean(0),
        sides.double().mean(0),
    )
    rows = torch.stack(columns, 1).tolist()
    return [CoverageRow(step, len(held), *row) for step, row in enumerate(rows, 1)]


def covered(places: Tensor, boxes: Tensor) -> Tensor:
    """(N, T) float64: the share of each box (N, 4) that lies in squares (N, T, 3)."""
    first = torch.maximum(places[..., :2], boxes[:, None, :2])
    after = torch.minimum(places[..., :2] + places[..., 2:], boxes[:, None, 2:])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    return (after - first).clamp(min=0).prod(-1).double() / area[:, None]


def _by_chance(sides: Tensor, boxes: Tensor, sizes: Sizes) -> Tensor:
    """(N, T) what squares of these sides (N, T) hold on average, at all whole pixels within the image.

    Row and column are independent, and so the mean area is the product of mean lengths.
    """
    expected = torch.zeros(sides.shape, dtype=torch.float64)
    for side in sides.unique().tolist():
        lengths = [_mean_overlap(side, boxes[:, axis::2], sizes.image_size[axis]) for axis in (0, 1)]
        area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
        expected = torch.where(sides == side, (lengths[0] * lengths[1] / area)[:, None], expected)
    return expected


def _mean_overlap(side: int, spans: Tensor, extent: int) -> Tensor:
    """(N,) of intervals of this length, anywhere in [0, extent), with spans (N, 2): first, and after last."""
    starts = torch.arange(max(extent - side, 0) + 1)
    first, after = torch.maximum(starts, spans[:, :1]), torch.minimum(starts + side, spans[:, 1:])
    return (after - first).clamp(min=0).double().mean(1)


def mean_coverage(several: Sequence[Sequence[CoverageRow]]) -> list[CoverageRow]:
    """The rows of several networks, such as those of all seeds, in the mean; of as many glimpses as all have.

    >>> one, other = CoverageRow(1, 9, 0.2, 0.1, 0.1, 0.3, 16.0), CoverageRow(1, 9, 0.4, 0.1, 0.1, 0.3, 20.0)
    >>> [(row.step, round(row.share, 3), row.side) for row in mean_coverage([[one], [other]])]
    [(1, 0.3, 18.0)]
    """
    names = [each.name for each in fields(CoverageRow)][2:]
    return [
        CoverageRow(
            same[0].step, same[0].images, *(fmean(getattr(row, name) for row in same) for name in names)
        )
        for same in zip(*several, strict=False)
    ]


def coverage_table(measured: Sequence[tuple[str, Sequence[CoverageRow]]]) -> str:
    """A line for each network and glimpse, in per cent.

    Args:
        measured: names of networks, and their rows.

    >>> print(coverage_table([("ram", [CoverageRow(2, 600, 0.312, 0.01, 0.2, 0.25, 25.0)])]))
    object's box in the square, % (standard error), beside random and central squares as wide
    glimpse   share              random   central   side  network
          2    31.2 (1.0)          20.0      25.0   25.0  ram
    """
    lines = [
        "object's box in the square, % (standard error), beside random and central squares as wide",
        "glimpse   share              random   central   side  network",
    ]
    lines += [
        f"{row.step:>7} {100 * row.share:>7.1f} {f'({100 * row.error:.1f})':<11} {100 * row.random:>7.1f} "
        f"{100 * row.central:>9.1f} {row.side:>6.1f}  {name}"
        for name, rows in measured
        for row in rows
    ]
    return "\n".join(lines)
