"""The glimpse-set posterior: each glimpse embedded by itself, the embeddings added."""

from __future__ import annotations

import math
from typing import Any

import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from boed.posteriors.heads import Heads
from boed.posteriors.layers import Dropout, Linear
from boed.posteriors.posterior import Posterior
from boed.settings import FitSettings
from data.geometry import Geometry

FREQUENCIES = 4
DROPOUT = 0.1
PATCH, PATCH_FEATURES = 4, 48
COORDINATES = 2  # row and column


def fourier_features(centres: Tensor) -> Tensor:
    """sin and cos of the normalised centre (..., P) at 4 octaves: (..., 8 P)."""
    scales = math.pi / 2 * 2.0 ** torch.arange(FREQUENCIES, device=centres.device)
    angles = (centres[..., None] * scales).flatten(-2)
    return torch.cat([angles.sin(), angles.cos()], -1)


class PatchLayers(nn.Sequential):
    """A 1 x 1 convolution of patches, rectified, and a linear layer of all that it says: as two products.

    A convolution of so few channels takes several times as long as the product that it is.
    """

    def forward(self, glimpses: Tensor) -> Tensor:
        """(N, 2D) of glimpses (N, S*C, G, G)."""
        layers: tuple[Any, ...] = tuple(self)
        padding, unshuffle, values, relu, _, features = layers
        patches = unshuffle(padding(glimpses)).flatten(2).mT  # (N, P, S*C*16) of P patches
        read = relu(features.product(patches, values.weight.flatten(1), values.bias))  # (N, P, F)
        weight = features.weight.unflatten(1, (read.shape[2], -1)).mT.flatten(1)  # in their order: P, F
        product: Tensor = features.product(read.flatten(1), weight, features.bias)
        return product


class GlimpseEncoder(PyroModule):
    r"""e(y, l): what a glimpse shows and where it was, as one vector.

    $e = W'\,\mathrm{relu}\big((1 + a(l)) \odot W\,\mathrm{relu}(V\,\mathrm{patches}(y)) + b(l)\big)$

    Patches of 4 x 4 values are read by the same V; the place says by a and b, which are linear in its Fourier
    features, what that means there (feature-wise linear modulation: Perez et al. 2018, arXiv 1709.07871). Two
    strided convolutions instead of the patches take twice the time and learn no more in it.

    Args:
        glimpse_shape: (S*C, G, G).
        width: size D of the embedding.
        dropout: share of the hidden units that are dropped in training.
        coordinates: how many numbers P say where a glimpse was, see `data.geometry.Geometry.centres`.

    >>> encoder = GlimpseEncoder((3, 16, 16), width=8)
    >>> encoder(torch.rand(7, 3, 3, 16, 16), torch.zeros(7, 3, 2)).shape
    torch.Size([7, 3, 8])
    """

    def __init__(
        self,
        glimpse_shape: tuple[int, int, int],
        width: int,
        dropout: float = DROPOUT,
        coordinates: int = COORDINATES,
    ) -> None:
        super().__init__()
        channels, size, _ = glimpse_shape
        side = math.ceil(size / PATCH)
        self.patch = PyroModule[PatchLayers](  # a subclass of Pyro's would be its base when copied
            PyroModule[nn.ZeroPad2d]((0, side * PATCH - size) * 2),
            PyroModule[nn.PixelUnshuffle](PATCH),  # the values of a patch become channels
            PyroModule[nn.Conv2d](channels * PATCH**2, PATCH_FEATURES, 1),
            PyroModule[nn.ReLU](),
            PyroModule[nn.Flatten](),
            PyroModule[Linear](PATCH_FEATURES * side**2, 2 * width),
        )
        self.place = PyroModule[Linear](2 * FREQUENCIES * coordinates, 4 * width)
        nn.init.zeros_(self.place.weight[: 2 * width])  # at first a place scales nothing
        nn.init.zeros_(self.place.bias[: 2 * width])
        self.merge = PyroModule[Linear](2 * width, width)
        self.dropout = PyroModule[Dropout](dropout)

    def forward(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        """(..., D) for glimpses (..., S*C, G, G) at normalised centres (..., P)."""
        lead = glimpses.shape[:-3]
        patch = self.patch(glimpses.reshape(-1, *glimpses.shape[-3:]) - 0.5)
        scale, shift = self.place(fourier_features(centres)).flatten(0, -2).chunk(2, -1)
        hidden = torch.relu(torch.addcmul(patch + shift, scale, patch))
        return self.merge(self.dropout(hidden)).view(*lead, -1)


class GlimpseSetPosterior(Posterior):
    r"""q(label | y_1..y_t, l_1..l_t), a function of the *set* of glimpses.

    $q = \mathrm{Categorical}(\mathrm{softmax}(W\,\mathrm{relu}(\sum_{i \le t} e(y_i, l_i) + b_t) / \tau_t))$

    Each glimpse is embedded by itself, so that one convolution over a completion's glimpses serves every
    history, and a candidate costs one addition and one small product.

    Args:
        glimpse_shape: (S*C, G, G).
        classes: K.
        glimpses: largest t.
        width: size D of the embedding.
        attributes: A, each of K classes.
        coordinates: see `GlimpseEncoder`.

    >>> q = GlimpseSetPosterior((3, 16, 16), classes=2, glimpses=5)
    >>> y, centres = torch.rand(7, 3, 3, 16, 16), torch.zeros(7, 3, 2)
    >>> q.logits(q.embed(y, centres).sum(1), 3).shape
    torch.Size([7, 2])
    """

    def __init__(
        self,
        glimpse_shape: tuple[int, int, int],
        classes: int,
        glimpses: int,
        width: int = 64,
        attributes: int = 1,
        coordinates: int = COORDINATES,
    ) -> None:
        super().__init__(glimpses)
        self.encoder = GlimpseEncoder(glimpse_shape, width, coordinates=coordinates)
        self.head = Heads(width, classes, attributes)
        self.count_bias = nn.Parameter(torch.zeros(glimpses + 1, width))

    def embed(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        """e(y, l): (..., D) for glimpses (..., S*C, G, G) at normalised centres (..., P)."""
        return self.encoder(glimpses, centres)

    def logits(self, total: Tensor, count: int | Tensor) -> Tensor:
        """Unnormalised log-probabilities (..., K) from summed embeddings (..., D) of `count` glimpses."""
        hidden = torch.relu_(total.add_(self.count_bias[count]))  # the total is ours: no copy
        return self.read(hidden, count)


def new_posterior(
    geometry: Geometry, settings: FitSettings, places: Tensor, *, classes: int, attributes: int
) -> GlimpseSetPosterior:
    """See `boed.posteriors.registry.PosteriorKind`."""
    return GlimpseSetPosterior(
        geometry.glimpse_shape(),
        classes,
        settings.glimpses,
        settings.width,
        attributes,
        geometry.coordinates,
    )
