"""Encoders of a glimpse: what is seen, where it is seen, and how the two are put together.

Shapes: B images, G glimpse side, C channels (scales counted in), D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from data.linear import Linear
from hardattn.model.registry import COMBINATIONS, ENCODERS

FREQUENCIES = 3
COORDINATES = 2  # row and column


@ENCODERS.register("conv")
class ConvGlimpse(nn.Module):
    """What is seen: g = norm(W conv(conv(y))), two strided convolutions, a linear layer, a norm.

    Strides instead of pooling: a quarter of the work for the same accuracy. Without the norm the network
    stays at chance for hundreds of iterations.

    Args:
        channels: C of a glimpse.
        size: G, at least 2.
        features: width of the result.
        batch_norm: normalise over the batch, after the convolutions too, instead of over the features.

    >>> ConvGlimpse(3, 16, 128)(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 128])
    """

    def __init__(self, channels: int, size: int, features: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        side = (size // 2 + 1) // 2
        first, second = nn.Conv2d(channels, 16, 4, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)
        self.layers = nn.Sequential(
            first,
            *([nn.BatchNorm2d(16)] if batch_norm else []),
            nn.ReLU(),
            second,
            *([nn.BatchNorm2d(32)] if batch_norm else []),
            nn.ReLU(),
            nn.Flatten(),
            Linear(32 * side * side, features),
            nn.BatchNorm1d(features) if batch_norm else nn.LayerNorm(features),
        )

    def forward(self, glimpses: Tensor) -> Tensor:
        """(B, C, G, G) values in [0, 1] -> (B, D)."""
        return self.layers(4 * glimpses - 2)


@ENCODERS.register("linear")
class LinearGlimpse(nn.Module):
    """What is seen, by two linear layers as in Mnih et al. 2014: g = norm(W relu(W' y)).

    Args:
        channels: C of a glimpse.
        size: G.
        features: width of the result, and of the hidden layer half of it.
        batch_norm: normalise over the batch instead of over the features.

    >>> LinearGlimpse(1, 8, 256)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 256])
    """

    def __init__(self, channels: int, size: int, features: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            Linear(channels * size * size, features // 2),
            nn.ReLU(),
            Linear(features // 2, features),
            nn.BatchNorm1d(features) if batch_norm else nn.LayerNorm(features),
        )

    def forward(self, glimpses: Tensor) -> Tensor:
        """(B, C, G, G) values in [0, 1] -> (B, D)."""
        return self.layers(4 * glimpses - 2)


class LocationEmbedding(nn.Module):
    """Where it is seen: e = W [c, sin(2^f pi c), cos(2^f pi c)], c the normalised centre.

    Fourier features let a small network tell close places apart (Tancik et al. 2020, arXiv 2006.10739).
    Where there are several sides, c also says how wide the glimpse is.

    Args:
        features: D.
        coordinates: how many numbers P say where a glimpse was, see `data.geometry.Geometry.centres`.

    >>> LocationEmbedding(128)(torch.zeros(2, 2)).shape
    torch.Size([2, 128])
    """

    def __init__(self, features: int, coordinates: int = COORDINATES, frequencies: int = FREQUENCIES) -> None:
        super().__init__()
        self.scales: Tensor
        self.register_buffer("scales", torch.pi * 2.0 ** torch.arange(frequencies), persistent=False)
        self.linear = Linear(coordinates * (1 + 2 * frequencies), features)

    def forward(self, centres: Tensor) -> Tensor:
        """(B, P) centres in [-1, 1] -> (B, D)."""
        angles = (centres[:, :, None] * self.scales).flatten(1)
        return self.linear(torch.cat([centres, angles.sin(), angles.cos()], dim=1))


@COMBINATIONS.register("modulate")
class Modulate(nn.Module):
    """relu(g * (1 + a) + b) with (a, b) from the place: what is seen is read according to where.

    Feature-wise linear modulation (Perez et al. 2018, arXiv 1709.07871).
    """

    def __init__(self, features: int, *, coordinates: int = COORDINATES) -> None:
        super().__init__()
        self.where = LocationEmbedding(2 * features, coordinates)

    def forward(self, what: Tensor, centres: Tensor) -> Tensor:
        scale, shift = self.where(centres).chunk(2, dim=1)
        return relu(what * (1 + scale) + shift)


@COMBINATIONS.register("add")
class Add(nn.Module):
    """relu(g + b), as published (Mnih et al. 2014, section 4)."""

    def __init__(self, features: int, *, coordinates: int = COORDINATES) -> None:
        super().__init__()
        self.where = LocationEmbedding(features, coordinates)

    def forward(self, what: Tensor, centres: Tensor) -> Tensor:
        return relu(what + self.where(centres))


@COMBINATIONS.register("concat")
class Concatenate(nn.Module):
    """relu(W [g, b])."""

    def __init__(self, features: int, *, coordinates: int = COORDINATES) -> None:
        super().__init__()
        self.where = LocationEmbedding(features, coordinates)
        self.linear = Linear(2 * features, features)

    def forward(self, what: Tensor, centres: Tensor) -> Tensor:
        return relu(self.linear(torch.cat([what, self.where(centres)], dim=1)))
