"""How the amortised estimator is learned: on part of the bank, along the histories that it makes itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boed.estimators.amortised import AmortisedEstimator
from boed.estimators.bank import Bank
from boed.estimators.epe import candidate_scores
from boed.estimators.estimator import EstimatorTask
from boed.fitting.training import train
from data.errors import SettingsError

BATCH = 96
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
EXPLORATION = 0.25  # of the glimpses in training go to arbitrary places
SCORED_PLACES = 64  # of the map that an iteration regresses


def fit_estimator(network: AmortisedEstimator, task: EstimatorTask) -> None:
    """Trains with the iterations and the seed of the settings."""
    settings = task.settings
    train_estimator(
        network,
        task.bank(),
        task.rows,
        score=task.score,
        glimpses=settings.glimpses,
        iterations=settings.iterations,
        seed=settings.seed,
        state=task.state,
        task=settings.to_json() | {"score": task.score, "images": len(task.rows)},
    )


def train_estimator(
    estimator: AmortisedEstimator,
    bank: Bank,
    rows: Tensor,
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
        rows: (M,) those that it is trained on.
        score: "cross-entropy" or "entropy".
        glimpses: T.
        iterations, seed, state, task: see `boed.fitting.training.train`.

    Raises:
        SettingsError: a score that is no mean over single outcomes.
        CheckpointError: `state` is damaged, or of another task.
    """
    if score == "information":
        raise SettingsError("expected the score cross-entropy or entropy for amortised, found information")
    train(
        estimator,
        lambda _: _rollout_loss(estimator, bank, rows, glimpses, score),
        iterations=iterations,
        seed=seed,
        state=state,
        task=task,
        title="fit estimator",
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
    )


def _rollout_loss(
    estimator: AmortisedEstimator, bank: Bank, trained_on: Tensor, glimpses: int, score: str
) -> Tensor:
    """Mean squared error of the maps along T glimpses of a batch."""
    device, places = bank.labels.device, len(bank.places)
    rows = trained_on[torch.randint(len(trained_on), (BATCH,)).to(device)]
    some = torch.randperm(places)[:SCORED_PLACES].to(device)
    candidates = bank.statistics(rows, some)  # (B, L', D)
    totals = torch.zeros(BATCH, bank.width, device=device)
    known = torch.zeros(BATCH, estimator.count_bias.shape[1], device=device)
    seen = torch.zeros(BATCH, places, dtype=torch.bool, device=device)
    losses = []
    for step in range(glimpses):
        maps = estimator(known, step)
        losses.append((maps[:, some] - _realised(bank, rows, totals, candidates, step + 1, score)).square())
        chosen = _explored(maps.detach().masked_fill(seen, math.inf))
        seen.scatter_(1, chosen[:, None], True)
        totals = totals + bank.statistics_at(rows, chosen)
        known = known + estimator.encoder(*_glimpses(bank, rows, chosen))
    return torch.stack(losses).mean()


@torch.no_grad()
def _realised(bank: Bank, rows: Tensor, totals: Tensor, candidates: Tensor, count: int, score: str) -> Tensor:
    """(B, L') score of q on the images themselves after one more glimpse."""
    logits = bank.q.logits(totals[:, None] + candidates, count)
    return candidate_scores(logits, bank.labels[rows], score)


def _explored(maps: Tensor) -> Tensor:
    """(B,) the argmin of maps (B, L), or sometimes any place that is not infinite: those were seen."""
    arbitrary = torch.rand(maps.shape).to(maps.device).masked_fill(maps.isinf(), -1).argmax(1)
    explore = (torch.rand(len(maps)) < EXPLORATION).to(maps.device)
    return torch.where(explore, arbitrary, maps.argmin(1))


def _glimpses(bank: Bank, rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Glimpses (B, S*C, G, G) of the bank at one place each, and the centres (B, 2)."""
    locations = bank.places[places]
    glimpses = bank.geometry.retina()(bank.split.images, rows, locations[:, None])[:, 0]
    return glimpses, bank.geometry.centres(locations)
