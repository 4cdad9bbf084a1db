"""The location head of GlimpseNet: a map over the grid, read off the first glance at the whole image.

Shapes: B images, L places of the grid, D features, W width of the state.
"""

from __future__ import annotations

import torch
from torch import Tensor

from data.grid import Grid
from data.linear import Linear
from hardattn.model.fusion import Memory
from hardattn.model.locations import Categorical, Locations
from hardattn.model.policies import CategoricalPolicy
from hardattn.model.registry import POLICIES


@POLICIES.register("glance")
class GlancePolicy(CategoricalPolicy):
    """softmax(W [f_1, h]) over the grid: f_1 of the first glimpse, h the fusion of all glimpses so far.

    Args:
        features: D.
        grid: L locations.
        memory: of the state that it reads.

    >>> from data.grid import LocationGrid
    >>> policy = GlancePolicy(8, LocationGrid.evenly((8, 8), 4, 2), memory=Memory(glimpses=3, width=8))
    >>> policy.act(torch.zeros(2, 33), "greedy").places.shape
    torch.Size([2, 3])
    """

    reads = "state"

    def __init__(self, features: int, grid: Grid, *, memory: Memory) -> None:
        super().__init__(features, grid)
        self.memory, self.linear = memory, Linear(2 * features, len(grid))

    def forward(self, features: Tensor, taken: Tensor | None = None) -> Locations:
        """Of states (B, W); before any glimpse f_1 is 0."""
        first = self.memory.features(features)[..., 0, :]
        return Categorical(self.linear(torch.cat([first, self.memory.output(features)], -1)), self.grid)
