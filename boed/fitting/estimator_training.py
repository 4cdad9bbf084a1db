"""How the amortised estimator is learned: on part of the bank, along the histories that it makes itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boed.estimators.amortised import AmortisedEstimator
from boed.estimators.bank import Bank
from boed.estimators.epe import candidate_scores, entropy
from boed.estimators.estimator import EstimatorTask
from boed.fitting.training import train
from data.errors import SettingsError
from data.geometry import Geometry

BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
EXPLORATION = 0.25  # of the glimpses in training go to arbitrary places
SCORED_PLACES = 256  # of the map that an iteration regresses
ITERATIONS_EACH = 8  # iterations of q for one of the estimator, which is along T glimpses


def fit_estimator(network: AmortisedEstimator, task: EstimatorTask) -> None:
    """Trains with the iterations and the seed of the settings."""
    settings = task.settings
    train_estimator(
        network,
        task.bank(),
        task.rows,
        score=task.score,
        symmetric=task.symmetric,
        glimpses=settings.glimpses,
        iterations=max(1, settings.iterations // ITERATIONS_EACH),
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
    symmetric: bool,
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
        symmetric: whether half of the batches are seen mirrored.
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
        lambda draws: _rollout_loss(estimator, bank, rows, glimpses, score, symmetric, draws),
        iterations=iterations,
        seed=seed,
        state=state,
        task=task,
        title="fit estimator",
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
    )


def _rollout_loss(
    estimator: AmortisedEstimator,
    bank: Bank,
    trained_on: Tensor,
    glimpses: int,
    score: str,
    symmetric: bool,
    generator: torch.Generator,
) -> Tensor:
    """Mean squared error of the maps along T glimpses of a batch, at some of the places."""
    device, places = bank.labels.device, len(bank.places)
    mirrored = symmetric and bool(torch.randint(2, (), generator=generator))
    rows = trained_on[torch.randint(len(trained_on), (BATCH,)).to(device)]
    some = torch.randperm(places)[:SCORED_PLACES].to(device)
    candidates = bank.statistics(rows, some)  # (B, L', D)
    totals = torch.zeros(BATCH, bank.width, device=device)
    known = torch.zeros(BATCH, *estimator.canvas.shape, device=device)
    seen = torch.zeros(BATCH, places, dtype=torch.bool, device=device)
    losses = []
    for step in range(glimpses):
        maps = estimator(known, step, _uncertain(bank, totals, step), mirrored=mirrored)
        realised = _realised(bank, rows, totals, candidates, step + 1, score)
        losses.append((maps[:, some] - realised).square())
        chosen = _explored(maps.detach().masked_fill(seen, math.inf), step, bank.geometry)
        seen.scatter_(1, chosen[:, None], True)
        totals = bank.q.combine(totals, bank.statistics_at(rows, chosen))
        known = known + estimator.canvas.pasted(_glimpses(bank, rows, chosen), bank.places[chosen])
    return torch.stack(losses).mean()


@torch.no_grad()
def _uncertain(bank: Bank, totals: Tensor, count: int) -> Tensor:
    """(B,) entropy of q after so many glimpses; of the labels of the bank before the first."""
    if count:
        return entropy(bank.q.logits(totals.clone(), count))
    shares = bank.labels.bincount() / len(bank)
    return torch.special.entr(shares).sum().expand(len(totals))


@torch.no_grad()
def _realised(bank: Bank, rows: Tensor, totals: Tensor, candidates: Tensor, count: int, score: str) -> Tensor:
    """(B, L') score of q on the images themselves after one more glimpse."""
    logits = bank.q.logits(bank.q.combine(totals[:, None], candidates), count)
    return candidate_scores(logits, bank.labels[rows], score)


def _explored(maps: Tensor, step: int, geometry: Geometry) -> Tensor:
    """(B,) the argmin of maps (B, L), or sometimes any place that is not infinite: those were seen."""
    if step == 0 and geometry.first_glance:
        return torch.full_like(maps[:, 0], maps.shape[1] - 1, dtype=torch.int64)  # the last place
    arbitrary = torch.rand(maps.shape).to(maps.device).masked_fill(maps.isinf(), -1).argmax(1)
    explore = (torch.rand(len(maps)) < EXPLORATION).to(maps.device)
    return torch.where(explore, arbitrary, maps.argmin(1))


def _glimpses(bank: Bank, rows: Tensor, places: Tensor) -> Tensor:
    """(B, S*C, G, G) glimpses of the bank at one place each."""
    locations = bank.places[places]
    return bank.geometry.retina()(bank.split.images, rows, locations[:, None])[:, 0]
