"""A place is (row, col, side): a glimpse's top-left pixel, and the side of the square that is averaged down.

A plain glimpse of G x G values has side G: the pixels themselves. A wider square shows more, coarsely. A
square at (0, 0) that is at least as wide as the image is the whole image at a glance.

Where squares of several sides may be looked at, how wide one is belongs to where it is: then the whole image
is a place like any other, in the middle and of the largest width.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from data.gpu import constant

CPU = torch.device("cpu")
WHOLE_CENTRE = 1.5
"""Normalised row and column of the whole image: outside, where the features of its centre are those of no
glimpse. An embedding of the centre alone tells it from a glimpse in the middle by that."""
NOWHERE = -(2**15)
"""Row and column of the whole image in files that keep places without a side."""


class Sizes(Protocol):
    """What places are measured by: `data.geometry.Geometry` and `data.grid.LocationGrid` both say it."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the image in pixels."""

    @property
    def glimpse_size(self) -> int:
        """G, the side of a plain glimpse in pixels."""

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the squares that may be looked at, where they are several; else none."""


def places_at(corners: Tensor, side: int) -> Tensor:
    """(..., 3) the squares of one side at top-left pixels (..., 2).

    >>> places_at(torch.tensor([[3, 4]]), 16).tolist()
    [[3, 4, 16]]
    """
    return torch.cat([corners, torch.full_like(corners[..., :1], side)], -1)


def whole_image(image_size: tuple[int, int], device: torch.device = CPU) -> Tensor:
    """(3,) the place that is the whole image at a glance, on a device.

    >>> whole_image((60, 40)).tolist()
    [0, 0, 60]
    """
    return constant((0, 0, max(image_size)), device)


def is_whole(places: Tensor, sizes: Sizes) -> Tensor:
    """(...) which of the places (..., 3) are the whole image at a glance: wider than G, so averaged down.

    >>> from data.geometry import Geometry
    >>> is_whole(torch.tensor([[0, 0, 8], [0, 0, 4]]), Geometry(8, 8, 1, glimpse_size=4)).tolist()
    [True, False]
    >>> is_whole(torch.tensor([[0, 0, 8]]), Geometry(8, 8, 1, glimpse_size=8)).tolist()
    [False]
    """
    sides = places[..., 2]
    return (sides >= max(sizes.image_size)) & (sides != sizes.glimpse_size)


def pixels_at(places: Tensor, sizes: Sizes) -> Tensor:
    """(...) int64 pixels that squares at places (..., 3) are averaged from; of the whole image, all.

    >>> from data.geometry import Geometry
    >>> one = Geometry(60, 40, 1, glimpse_size=4)
    >>> pixels_at(torch.tensor([[8, 8, 4], [0, 0, 12], [0, 0, 60]]), one).tolist()
    [16, 144, 2400]
    """
    height, width = sizes.image_size
    return places[..., 2].square().where(~is_whole(places, sizes), height * width)


def after_glance(places: Tensor, image_size: tuple[int, int]) -> Tensor:
    """(..., T+1, 3) the places (..., T, 3) after a first glance at the whole image.

    >>> after_glance(torch.tensor([[3, 4, 4]]), (8, 8)).tolist()
    [[0, 0, 8], [3, 4, 4]]
    """
    first = whole_image(image_size, places.device).to(places).expand(*places.shape[:-2], 1, 3)
    return torch.cat([first, places], -2)


def in_the_middle(sides: Tensor, image_size: tuple[int, int]) -> Tensor:
    """(..., 3) squares of these sides (...) in the middle of the image.

    >>> in_the_middle(torch.tensor([4, 12]), (12, 12)).tolist()
    [[4, 4, 4], [0, 0, 12]]
    """
    corners = [((extent - sides) // 2).clamp(min=0) for extent in image_size]
    return torch.stack([*corners, sides], -1)


def moved(places: Tensor, shift: Tensor, sizes: Sizes) -> Tensor:
    """(..., 3) places (..., 3) shifted by rows and columns (..., 2); the whole image stays where it is.

    >>> from data.geometry import Geometry
    >>> one = Geometry(8, 8, 1, glimpse_size=4)
    >>> moved(torch.tensor([[3, 4, 4], [0, 0, 8]]), torch.tensor([-1, 2]), one).tolist()
    [[2, 6, 4], [0, 0, 8]]
    """
    shift = (shift * ~is_whole(places, sizes)[..., None]).to(places)
    return torch.cat([places[..., :2] + shift, places[..., 2:]], -1)


def jittered(places: Tensor, reach: int, sizes: Sizes, generator: torch.Generator) -> Tensor:
    """(..., 3) places (..., 3) a little beside themselves; the whole image stays where it is.

    A plain glimpse by up to `reach` pixels on each axis, a wide square by as many more as it is wider: by as
    many of its values.

    >>> from data.geometry import Geometry
    >>> one = Geometry(40, 40, 1, glimpse_size=4, sides=(4, 12))
    >>> beside = jittered(torch.tensor([[8, 8, 12]] * 9), 2, one, torch.Generator().manual_seed(0))
    >>> (beside[:, :2] - 8).unique().tolist()
    [-6, -3, 0, 3, 6]
    """
    shift = torch.randint(-reach, reach + 1, (*places.shape[:-1], 2), generator=generator).to(places.device)
    wider = torch.div(shift * places[..., 2:], sizes.glimpse_size, rounding_mode="trunc")
    return moved(places, wider, sizes)


def mirrored(places: Tensor, sizes: Sizes) -> Tensor:
    """(..., 3) where places (..., 3) come to lie when the image is mirrored left to right.

    >>> from data.geometry import Geometry
    >>> mirrored(torch.tensor([[3, 0, 8], [0, 0, 28]]), Geometry(28, 28, 1, glimpse_size=8)).tolist()
    [[3, 20, 8], [0, 0, 28]]
    """
    row, col, side = places.unbind(-1)
    other = torch.where(is_whole(places, sizes), col, sizes.image_size[1] - side - col)
    return torch.stack([row, other, side], -1)


def normalise(places: Tensor, sizes: Sizes) -> Tensor:
    """(..., 2) centre of each place (..., 3) in [-1, 1], (row, col); -1 and 1 are the image's outer edges.

    That of the whole image is outside, `WHOLE_CENTRE`. Where there are several sides it is (..., 3), the
    last how wide the square is, log(side / G) / log(side of the image / G): 0 for a plain glimpse, 1 for the
    whole image, whose centre is then its own. This is the only place where pixels become normalised
    coordinates.

    >>> from data.geometry import Geometry
    >>> normalise(torch.tensor([[0, 12, 16]]), Geometry(28, 28, 1, glimpse_size=16))
    tensor([[-0.4286,  0.4286]])
    >>> wide = Geometry(16, 16, 1, glimpse_size=4, sides=(4, 8, 16))
    >>> normalise(torch.tensor([[0, 8, 8], [0, 0, 16]]), wide)
    tensor([[-0.5000,  0.5000,  0.5000],
            [ 0.0000,  0.0000,  1.0000]])
    """
    extent = constant(sizes.image_size, places.device, torch.float32)
    centres = (places[..., :2] + places[..., 2:] / 2) * 2 / extent - 1
    whole = is_whole(places, sizes)[..., None]
    if not sizes.sides:
        return centres.masked_fill(whole, WHOLE_CENTRE)
    widest = math.log(max(sizes.image_size) / sizes.glimpse_size)
    width = ((places[..., 2:] / sizes.glimpse_size).log() / widest).clamp(max=1)  # but for rounding
    return torch.cat([centres.masked_fill(whole, 0), width], -1)


def denormalise(centres: Tensor, sizes: Sizes) -> Tensor:
    """(..., 3) the plain glimpses, of side G, around `centres` (..., 2), at rounded pixels; one side only.

    The inverse of `normalise`, of all places but the whole image:

    >>> from data.geometry import Geometry
    >>> denormalise(torch.tensor([[-0.4286, 0.4286]]), Geometry(28, 28, 1, glimpse_size=16))
    tensor([[ 0, 12, 16]])
    """
    side, extent = sizes.glimpse_size, constant(sizes.image_size, centres.device).float()
    return places_at(((centres + 1) * extent / 2 - side / 2).round().long(), side)


def with_sides(corners: Tensor, sizes: Sizes) -> Tensor:
    """(..., 3) places of files that keep them without a side (..., 2).

    >>> from data.geometry import Geometry
    >>> with_sides(torch.tensor([[3, 4], [NOWHERE, NOWHERE]]), Geometry(8, 8, 1, glimpse_size=4)).tolist()
    [[3, 4, 4], [0, 0, 8]]
    """
    whole = (corners == NOWHERE).all(-1, keepdim=True)
    return torch.where(
        whole,
        whole_image(sizes.image_size, corners.device).to(corners),
        places_at(corners, sizes.glimpse_size),
    )


def without_sides(places: Tensor, sizes: Sizes) -> Tensor:
    """(..., 2) what files without sides keep of places (..., 3); hashes of approximations go by it.

    >>> from data.geometry import Geometry
    >>> without_sides(torch.tensor([[3, 4, 4], [0, 0, 8]]), Geometry(8, 8, 1, glimpse_size=4)).tolist()
    [[3, 4], [-32768, -32768]]
    """
    return places[..., :2].masked_fill(is_whole(places, sizes)[..., None], NOWHERE)
