"""Policies that are trained end to end: a differentiable place, by sigmoids of what is remembered.

Tan et al. 2021 (arXiv 2111.02018). Shapes: B images, D features, W width of the state.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from data.grid import Grid
from data.linear import Linear
from hardattn.model.clues import sinusoids
from hardattn.model.fusion import Memory
from hardattn.model.policies import Action, ActMode, Policy
from hardattn.model.registry import POLICIES

GRADIENT = 0.02
"""What is left of the gradient to a localiser."""
NARROWEST, RANGE = 0.2, 0.3  # of s
HEADS, ATTENDED = 4, 64
MAP_CHANNELS, MAP_HIDDEN = 32, 128


def crop_of(u: Tensor, extent: int) -> Tensor:
    """(..., 3) places (row, col, side) of crops by u (..., 3) in [0, 1], all of them inside the image.

        s = 0.2 + 0.3 u_0,  (x, y) = 2 (u - 1/2) (1 - s)

    (x, y) being the centre in [-1, 1], this is a square of side s H whose top-left pixel is (1 - s) u H.

    Args:
        u: width, and how far right and down.
        extent: H in pixels.

    >>> crop_of(torch.tensor([[0.0, 0.5, 1.0]]), 60).tolist()
    [[48.0, 24.0, 12.0]]
    """
    s = NARROWEST + RANGE * u[..., :1]
    col, row = ((1 - s) * u[..., 1:] * extent).unbind(-1)
    return torch.stack([row, col, s[..., 0] * extent], -1)


def u_of(places: Tensor, extent: int) -> Tensor:
    """(..., 3) the u of places (..., 3) that `crop_of` gave.

    >>> u_of(torch.tensor([[48.0, 24.0, 12.0]]), 60).tolist()
    [[0.0, 0.5, 1.0]]
    """
    row, col, side = places.unbind(-1)
    s = side / extent
    return torch.stack([(s - NARROWEST) / RANGE, col / (extent - side), row / (extent - side)], -1)


class Localiser(Policy):
    """A crop by u = sigmoid(f(h)), 0.2 to 0.5 of the image wide; 2 % of its gradient go back to f.

    Args:
        grid: for the size of the image, which is square.
    """

    differentiable, scored = True, False

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.extent = max(grid.image_size)

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """(B, 3) f of what it reads, see `hardattn.model.policies.Policy`."""

    def act(
        self,
        features: Tensor,
        mode: ActMode,
        generator: torch.Generator | None = None,
        taken: Tensor | None = None,
    ) -> Action:
        u = self(features).float().sigmoid()
        if u.requires_grad:
            u.register_hook(lambda gradient: GRADIENT * gradient)
        return Action(crop_of(u, self.extent), None)


@POLICIES.register("affine")
class AffinePolicy(Localiser):
    """f(h) = W h.

    Args:
        features: D of what it reads.
        grid: for the size of the image.

    >>> from data.geometry import Geometry, affine_crops
    >>> policy = AffinePolicy(8, affine_crops(Geometry(60, 60, 1, glimpse_size=12)).grid())
    >>> policy.act(torch.zeros(2, 8), "greedy").places.shape
    torch.Size([2, 3])
    """

    def __init__(self, features: int, grid: Grid) -> None:
        super().__init__(grid)
        self.linear = Linear(features, 3)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)


@POLICIES.register("affine-attention")
class AttentionLocaliser(Localiser):
    """f is linear in what four heads find among all features so far, the fusion asking.

    The variant multihead-attention of Supeene and Wang (CS231n, Stanford 2022).

    Args:
        features: D.
        grid: for the size of the image.
        memory: of the state that it reads.
    """

    reads = "state"

    def __init__(self, features: int, grid: Grid, *, memory: Memory) -> None:
        super().__init__(grid)
        self.memory, self.query = memory, Linear(features, ATTENDED)
        self.attention = nn.MultiheadAttention(
            ATTENDED, HEADS, batch_first=True, kdim=features, vdim=features
        )
        self.linear = Linear(ATTENDED, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(B, 3) of states (B, W); before any glimpse there is nothing to attend to, and zeros are read."""
        kept, seen = self.memory.features(features), self.memory.seen(features)
        nothing = ~seen.any(1, keepdim=True)
        query = self.query(self.memory.output(features))[:, None]
        found, _ = self.attention(query, kept, kept, key_padding_mask=~(seen | nothing))
        return self.linear(found[:, 0])


@POLICIES.register("affine-map")
class MapLocaliser(Localiser):
    """f is a network on the map of the last glimpse with the positions of its cells, and on the fusion.

    The variant 2d-spatial-loc of Supeene and Wang (CS231n, Stanford 2022): which cell holds what is not
    averaged away. The position of a cell is that within the glimpse, see `hardattn.model.clues.sinusoids`.

    Args:
        features: D.
        grid: for the sizes of image and glimpse.
        memory: of the state that it reads.
        map_shape: (C, h, w) of what it carries.
    """

    reads = "map"

    def __init__(self, features: int, grid: Grid, *, memory: Memory, map_shape: tuple[int, int, int]) -> None:
        super().__init__(grid)
        self.memory, self.map_shape = memory, map_shape
        channels, *sides = map_shape
        rows, cols = ((torch.arange(side) + 0.5) * grid.glimpse_size / side for side in sides)
        where = sinusoids(torch.cartesian_prod(rows, cols).view(*sides, 2)).permute(2, 0, 1)
        self.where: Tensor
        self.register_buffer("where", where, persistent=False)
        self.cells = nn.Conv2d(channels + len(where), MAP_CHANNELS, 1)
        self.layers = nn.Sequential(
            Linear(features + MAP_CHANNELS * sides[0] * sides[1], MAP_HIDDEN),
            nn.ReLU(),
            Linear(MAP_HIDDEN, 3),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, 3) of states (B, W)."""
        maps = self.memory.last(features).unflatten(-1, self.map_shape)  # (B, C, h, w)
        placed = torch.cat([maps, self.where.to(maps).expand(maps.shape[0], -1, -1, -1)], 1)
        cells = self.cells(placed).relu().flatten(1)
        return self.layers(torch.cat([self.memory.output(features), cells], 1))
