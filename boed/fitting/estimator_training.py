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
from boed.fitting.fit_log import LOSS_OF_ESTIMATOR, Curve
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
        curve=Curve(LOSS_OF_ESTIMATOR),
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
        before = _beliefs(bank, totals, step)
        maps = estimator(known, step, entropy(before), mirrored=mirrored)
        after = _beliefs(bank, bank.q.combine(totals[:, None], candidates), step + 1)
        realised = realised_scores(before, after, bank.labels[rows], score)
        losses.append((maps[:, some] - realised).square())
        chosen = _explored(maps.detach().masked_fill(seen, math.inf), step, bank.geometry)
        seen.scatter_(1, chosen[:, None], True)
        totals = bank.q.combine(totals, bank.statistics_at(rows, chosen))
        known = known + estimator.canvas.pasted(_glimpses(bank, rows, chosen), bank.places[chosen])
    return torch.stack(losses).mean()


def realised_scores(before: Tensor, after: Tensor, labels: Tensor, score: str) -> Tensor:
    r"""What the maps regress: the score after a glimpse, less by how much q was surprised before it.

    $s(\theta, y_{\le t}, y_l) - \big(s(\theta, y_{\le t}) - H[q(\cdot \mid y_{\le t})]\big)$

    with $s = -\log q(\theta \mid \cdot)$. What is taken off is a control variate: the same at all places, its
    mean given the glimpses is 0 where q is calibrated, and at every place that tells nothing it takes the
    noise of the label away. With the entropy as score it is 0.

    Args:
        before: (B, K) logits before the glimpse.
        after: (B, L, K) after it.
        labels: (B,).
        score: "cross-entropy" or "entropy".

    Returns:
        (B, L) nats.

    >>> before, after = torch.tensor([[0.0, 0.0]]), torch.tensor([[[0.0, 0.0], [9.0, -9.0]]])
    >>> realised_scores(before, after, torch.tensor([1]), "cross-entropy")[0].tolist()
    [0.6931471824645996, 18.0]
    """
    surprise = candidate_scores(before[:, None], labels, score) - entropy(before)[:, None]  # (B, 1)
    return candidate_scores(after, labels, score) - surprise


@torch.no_grad()
def _beliefs(bank: Bank, totals: Tensor, count: int) -> Tensor:
    """(..., K) logits of q after so many glimpses; of the shares of labels in the bank before the first."""
    if count:
        return bank.q.logits(totals.clone(), count)
    return (bank.labels.bincount() / len(bank)).log().expand(*totals.shape[:-1], -1)


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
