"""The amortised EPE estimator: a network that maps the glimpses so far to the whole map in one pass."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from boed.estimators.estimator import BeliefParts, Completed, EstimatorTask
from boed.posteriors.glimpse_set import GlimpseEncoder
from data.errors import SettingsError
from data.geometry import Geometry


class AmortisedEstimator(nn.Module):
    r"""$m_\phi(y_{\le t}, l_{\le t}) \in \mathbb R^L$: expected score of every place as the next glimpse.

    Regressed with squared error on the realised cross-entropy $-\log q(\theta \mid y_{\le t}, y_l)$ of q on
    images that q has not seen. The minimiser is its conditional mean given the glimpses so far, which is the
    bound on the EPE of Barber and Agakov; no completion is needed. DIME (Gadgil, Covert, Lee, 2024,
    arXiv 2306.03301) estimates information gains of features in this way.

    Args:
        glimpse_shape: (S*C, G, G).
        places: number L of candidates.
        glimpses: T.
        width: of the hidden layers.

    >>> estimator = AmortisedEstimator((1, 8, 8), places=9, glimpses=3)
    >>> totals = estimator.encoder(torch.rand(4, 2, 1, 8, 8), torch.zeros(4, 2, 2)).sum(1)
    >>> estimator(totals, 2).shape
    torch.Size([4, 9])
    """

    def __init__(
        self, glimpse_shape: tuple[int, int, int], places: int, glimpses: int, width: int = 256
    ) -> None:
        super().__init__()
        self.encoder = GlimpseEncoder(glimpse_shape, width, dropout=0.1)
        self.count_bias = nn.Parameter(0.1 * torch.randn(glimpses + 1, width))  # at 0 a ReLU has no gradient
        self.body = nn.Sequential(
            nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, places)
        )

    def forward(self, totals: Tensor, count: int) -> Tensor:
        """(B, L) nats from summed embeddings (B, D) of `count` glimpses."""
        return self.body(totals + self.count_bias[count])


class AmortisedBelief:
    """Summed embeddings of B images, in double precision as all that accumulates.

    Args:
        estimator: trained.
        places: (L, 3) candidates.
        geometry: sensor and grid.
        images: B.
    """

    def __init__(
        self, estimator: AmortisedEstimator, places: Tensor, geometry: Geometry, images: int
    ) -> None:
        self.estimator, self.centres = copy.deepcopy(estimator).double(), geometry.centres(places)
        self.totals = torch.zeros(
            images, estimator.count_bias.shape[1], dtype=torch.float64, device=places.device
        )

    def observe(self, glimpses: Tensor, places: Tensor) -> None:
        """Adds the embedding of one more glimpse per image."""
        self.totals = self.totals + self.estimator.encoder(glimpses.double(), self.centres[places].double())

    def own_map(self, totals: Tensor, count: int, wanted: Tensor | None = None) -> Tensor:
        """(B, L): one pass of the network."""
        scores = self.estimator(self.totals, count - 1)
        return scores if wanted is None else scores.masked_fill(~wanted, torch.inf)

    def completed(self, image: int, totals: Tensor) -> Completed:
        raise SettingsError(
            "expected an estimator with completions to look ahead, found amortised; use --search greedy"
        )


def new_estimator(task: EstimatorTask) -> AmortisedEstimator:
    """Untrained, for the places of the task."""
    return AmortisedEstimator(task.geometry.glimpse_shape(), len(task.places), task.settings.glimpses)


def amortised_belief(parts: BeliefParts) -> AmortisedBelief:
    """What the network of the parts says; raises SettingsError without one."""
    if not isinstance(parts.network, AmortisedEstimator):
        raise SettingsError("expected the network of an amortised estimator, found none; fit it first")
    return AmortisedBelief(parts.network, parts.places, parts.geometry, len(parts.noise))
