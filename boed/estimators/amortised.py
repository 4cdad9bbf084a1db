"""The amortised EPE estimator: a network that maps the glimpses so far to the whole map in one pass."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from boed.estimators.bank import Bank
from boed.estimators.epe import candidate_scores
from boed.estimators.estimator import Completed
from boed.posteriors.glimpse_set import GlimpseEncoder
from boed.posteriors.training import train
from data.errors import SettingsError
from data.geometry import Geometry

BATCH = 96
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
EXPLORATION = 0.25  # of the glimpses in training go to arbitrary places
SCORED_PLACES = 64  # of the map that an iteration regresses


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
        places: (L, 2) candidates.
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
        found = self.estimator(self.totals, count - 1)
        return found if wanted is None else found.masked_fill(~wanted, torch.inf)

    def completed(self, image: int) -> Completed:
        raise SettingsError(
            "expected an estimator with completions to look ahead, found amortised; use --search greedy"
        )


def train_estimator(
    estimator: AmortisedEstimator,
    bank: Bank,
    *,
    score: str,
    glimpses: int,
    iterations: int,
    seed: int,
    state: Path,
    task: dict[str, Any],
) -> None:
    """Regresses the realised score of q on the bank, along the histories that the map itself makes.

    Args:
        estimator: trained in place and left in eval mode.
        bank: labelled images that q has not seen, and their statistics.
        score: "cross-entropy" or "entropy".
        glimpses: T.
        iterations, seed, state, task: see `boed.posteriors.training.train`.

    Raises:
        SettingsError: a score that is no mean over single outcomes.
        CheckpointError: `state` is damaged, or of another task.
    """
    if score == "information":
        raise SettingsError("expected the score cross-entropy or entropy for amortised, found information")
    train(
        estimator,
        lambda _: _rollout_loss(estimator, bank, glimpses, score),
        iterations=iterations,
        seed=seed,
        state=state,
        task=task,
        title="fit estimator",
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
    )


def _rollout_loss(estimator: AmortisedEstimator, bank: Bank, glimpses: int, score: str) -> Tensor:
    """Mean squared error of the maps along T glimpses of a batch."""
    device, places = bank.labels.device, len(bank.places)
    rows = torch.randint(len(bank), (BATCH,)).to(device)
    some = torch.randperm(places)[:SCORED_PLACES].to(device)
    candidates = bank.statistics(rows, some)  # (B, L', D)
    totals = torch.zeros(BATCH, bank.width, device=device)
    known = torch.zeros(BATCH, estimator.count_bias.shape[1], device=device)
    seen = torch.zeros(BATCH, places, dtype=torch.bool, device=device)
    losses = []
    for step in range(glimpses):
        found = estimator(known, step)
        losses.append((found[:, some] - _realised(bank, rows, totals, candidates, step + 1, score)).square())
        chosen = _explored(found.detach().masked_fill(seen, math.inf))
        seen.scatter_(1, chosen[:, None], True)
        totals = totals + bank.statistics_at(rows, chosen)
        known = known + estimator.encoder(*_glimpses(bank, rows, chosen))
    return torch.stack(losses).mean()


@torch.no_grad()
def _realised(bank: Bank, rows: Tensor, totals: Tensor, candidates: Tensor, count: int, score: str) -> Tensor:
    """(B, L') score of q on the images themselves after one more glimpse."""
    logits = bank.q.logits(totals[:, None] + candidates, count)
    return candidate_scores(logits, bank.labels[rows], score)


def _explored(found: Tensor) -> Tensor:
    """(B,) the argmin of maps (B, L), or sometimes any place that is not infinite: those were seen."""
    arbitrary = torch.rand(found.shape).to(found.device).masked_fill(found.isinf(), -1).argmax(1)
    explore = (torch.rand(len(found)) < EXPLORATION).to(found.device)
    return torch.where(explore, arbitrary, found.argmin(1))


def _glimpses(bank: Bank, rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Glimpses (B, S*C, G, G) of the bank at one place each, and the centres (B, 2)."""
    locations = bank.places[places]
    glimpses = bank.geometry.retina()(bank.split.images, rows, locations[:, None])[:, 0]
    return glimpses, bank.geometry.centres(locations)
