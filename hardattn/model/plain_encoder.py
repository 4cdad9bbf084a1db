r"""The glimpse network of Mnih et al. 2014 (arXiv 1406.6247, section 4), as published and nothing else:

    h_g = relu(W_g y),  h_l = relu(W_l l),  g = relu(W_g' h_g + W_l' h_l),  each W with its bias

Neither norm nor Fourier features: what a glimpse costs depends on its own size alone. Shapes: B images, G
glimpse side, C channels (scales counted in), D features, P numbers that say where a glimpse was.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

from data.linear import Linear
from hardattn.model.encoders import COORDINATES
from hardattn.model.registry import COMBINATIONS, ENCODERS


def two_layers(inputs: int, features: int) -> nn.Sequential:
    """W' relu(W x), half as wide between as at the end: 128 and 256 as published."""
    hidden = max(1, features // 2)
    return nn.Sequential(Linear(inputs, hidden), nn.ReLU(), Linear(hidden, features))


@ENCODERS.register("plain")
class PlainGlimpse(nn.Module):
    """What is seen: W_g' relu(W_g y), by which the combination `PlainSum` goes on.

    Args:
        channels: C of a glimpse.
        size: G.
        features: width D of the result, and of the hidden layer half of it.

    >>> import torch
    >>> PlainGlimpse(1, 8, 256)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 256])
    """

    combination = "plain"

    def __init__(self, channels: int, size: int, features: int) -> None:
        super().__init__()
        self.layers = two_layers(channels * size * size, features)

    def forward(self, glimpses: Tensor) -> Tensor:
        """(B, C, G, G) values in [0, 1] -> (B, D)."""
        return self.layers(glimpses.flatten(1))


@COMBINATIONS.register("plain")
class PlainSum(nn.Module):
    """relu(g + W_l' relu(W_l l)), l the normalised centre itself.

    Args:
        features: D.
        coordinates: P.
    """

    def __init__(self, features: int, *, coordinates: int = COORDINATES) -> None:
        super().__init__()
        self.where = two_layers(coordinates, features)

    def forward(self, what: Tensor, centres: Tensor) -> Tensor:
        """(B, D) and (B, P) -> (B, D)."""
        return relu(what + self.where(centres))
