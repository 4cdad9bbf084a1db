"""Combinations that keep what is seen and where side by side: the clue of a glimpse is its place, a constant.

Tan et al. 2021 (arXiv 2111.02018). Shapes: B images, D features, P numbers that say where a glimpse was.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data.gpu import constant
from data.grid import Grid
from hardattn.model.encoders import COORDINATES
from hardattn.model.registry import COMBINATIONS

FREQUENCIES = 8  # of each coordinate of a position
SLOWEST = 10_000.0  # pixels per radian, about


def affine_of(centres: Tensor, grid: Grid) -> Tensor:
    """(..., 3) the affine (s, x, y) of normalised centres (..., 3); of centres (..., 2) only (x, y).

    s = side / H; the last number of a centre tells log side, see `data.places.normalise`.

    >>> from data.geometry import Geometry, affine_crops
    >>> crops = affine_crops(Geometry(60, 60, 1, glimpse_size=12))
    >>> affine_of(crops.centres(torch.tensor([15.0, 30.0, 15.0])), crops.grid())
    tensor([ 0.2500,  0.2500, -0.2500])
    """
    row, col = centres[..., 0], centres[..., 1]
    if centres.shape[-1] == COORDINATES:
        return torch.stack([col, row], -1)
    magnification = max(grid.image_size) / grid.glimpse_size
    return torch.stack([magnification ** (centres[..., 2] - 1), col, row], -1)


def sinusoids(positions: Tensor) -> Tensor:
    r"""(..., 32) the two-dimensional sinusoidal encoding of positions (..., 2) in pixels.

    $\sin(w_i r), \cos(w_i r), \sin(w_i c), \cos(w_i c), \quad w_i = 10000^{-i / 8}, \; i = 0, \dots, 7$

    Half of it encodes the row, half the column, each as Vaswani et al. 2017 (arXiv 1706.03762, section 3.5).

    >>> code = sinusoids(torch.tensor([0.0, torch.pi]))
    >>> code.shape, [round(value, 3) for value in code[[0, 8, 16, 24]].tolist()]
    (torch.Size([32]), [0.0, 1.0, -0.0, -1.0])
    """
    slower = torch.arange(FREQUENCIES, device=positions.device) / FREQUENCIES
    angles = positions[..., None] * SLOWEST**-slower  # (..., 2, 8)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


@COMBINATIONS.register("clue")
class Clue(nn.Module):
    """[g, s, x, y]: no gradient goes back through the clue.

    Args:
        features: D.
        grid: for the sizes of image and glimpse.
        coordinates: P; with 2 of them the clue is (x, y).

    Attributes:
        width: of the result.
    """

    def __init__(self, features: int, *, grid: Grid, coordinates: int = COORDINATES) -> None:
        super().__init__()
        self.grid, self.width = grid, features + coordinates

    def forward(self, what: Tensor, centres: Tensor) -> Tensor:
        """(B, D) and (B, P) -> (B, D + P)."""
        return torch.cat([what, affine_of(centres.detach(), self.grid)], 1)


@COMBINATIONS.register("spatial-clue")
class SpatialClue(nn.Module):
    """[g, e], e the sinusoidal encoding of the middle of the glimpse, which does not say how wide it is.

    The variant 2d-spatial-clue of Supeene and Wang (CS231n, Stanford 2022).

    Args:
        features: D.
        grid: for the size of the image.
        coordinates: P.

    Attributes:
        width: of the result.
    """

    def __init__(self, features: int, *, grid: Grid, coordinates: int = COORDINATES) -> None:
        super().__init__()
        self.grid, self.width = grid, features + 2 * COORDINATES * FREQUENCIES

    def forward(self, what: Tensor, centres: Tensor) -> Tensor:
        """(B, D) and (B, P) -> (B, D + 32)."""
        extent = constant(self.grid.image_size, centres.device)
        pixels = (centres[:, :COORDINATES].detach() + 1) * extent / 2
        return torch.cat([what, sinusoids(pixels)], 1)


@COMBINATIONS.register("no-clue")
class NoClue(nn.Module):
    """g alone: the network is not told where a glimpse was.

    Args:
        features: D.
        coordinates: P, of which it makes nothing.
    """

    def __init__(self, features: int, *, coordinates: int = COORDINATES) -> None:
        super().__init__()

    def forward(self, what: Tensor, centres: Tensor) -> Tensor:
        return what
