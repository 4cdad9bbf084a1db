"""Posteriors that hear one telling glimpse among many: the maximum over glimpses, alone or beside a sum."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from boed.posteriors.glimpse_set import COORDINATES, GlimpseEncoder
from boed.posteriors.heads import Heads
from boed.posteriors.local_features import LocalFeatures
from boed.posteriors.posterior import Posterior
from boed.settings import FitSettings
from data.geometry import Geometry


class GlimpseMaxPosterior(Posterior):
    r"""q(label | y_1..y_t) from the strongest response of every feature to any of the glimpses.

    $q = \mathrm{Categorical}(\mathrm{softmax}(W \max_{i \le t} f(y_i) / \tau_t))$

    f is a `LocalFeatures`; where a glimpse was does not matter. With a `width` an embedding of glimpse and
    place stands beside it that adds over the glimpses, see `boed.posteriors.glimpse_set`:

    $W \big(\max_i f(y_i),\; \mathrm{relu}(\sum_i e(y_i, l_i) + b_t)\big)$

    Args:
        glimpse_shape: (S*C, G, G).
        classes: K.
        glimpses: largest t.
        features: F, size of f.
        width: size of e; 0: there is none.
        attributes: A, each of K classes.
        coordinates: see `boed.posteriors.glimpse_set.GlimpseEncoder`.

    >>> q = GlimpseMaxPosterior((3, 16, 16), classes=2, glimpses=5, features=96)
    >>> y, centres = torch.rand(7, 3, 3, 16, 16), torch.zeros(7, 3, 2)
    >>> q.logits(q.combined(q.embed(y, centres), 1), 3).shape
    torch.Size([7, 2])
    """

    added: int

    def __init__(
        self,
        glimpse_shape: tuple[int, int, int],
        classes: int,
        glimpses: int,
        features: int = 96,
        width: int = 0,
        attributes: int = 1,
        coordinates: int = COORDINATES,
    ) -> None:
        super().__init__(glimpses)
        self.added = width
        self.local = LocalFeatures(glimpse_shape, features)
        self.head = Heads(width + features, classes, attributes)
        if width:
            self.encoder = GlimpseEncoder(glimpse_shape, width, coordinates=coordinates)
            self.count_bias = nn.Parameter(torch.zeros(glimpses + 1, width))

    def embed(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        """(..., width + F) for glimpses (..., S*C, G, G) at normalised centres (..., P)."""
        local = self.local(glimpses)
        return torch.cat([self.encoder(glimpses, centres), local], -1) if self.added else local

    def logits(self, total: Tensor, count: int | Tensor) -> Tensor:
        """Unnormalised log-probabilities (..., K) from what `count` glimpses combine to, (..., width + F)."""
        if not self.added:
            return self.read(total, count)
        summed = torch.relu(total[..., : self.added] + self.count_bias[count])
        return self.read(torch.cat([summed, total[..., self.added :]], -1), count)


def new_max_posterior(
    geometry: Geometry, settings: FitSettings, places: Tensor, *, classes: int, attributes: int
) -> GlimpseMaxPosterior:
    """See `boed.posteriors.registry.PosteriorKind`."""
    return GlimpseMaxPosterior(
        geometry.glimpse_shape(), classes, settings.glimpses, settings.width, attributes=attributes
    )


def new_sum_max_posterior(
    geometry: Geometry, settings: FitSettings, places: Tensor, *, classes: int, attributes: int
) -> GlimpseMaxPosterior:
    """See `boed.posteriors.registry.PosteriorKind`; both parts have the width that is asked for."""
    return GlimpseMaxPosterior(
        geometry.glimpse_shape(),
        classes,
        settings.glimpses,
        settings.width,
        settings.width,
        attributes,
        geometry.coordinates,
    )
