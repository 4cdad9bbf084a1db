"""What the tests of the amortised estimator share: a small one, its training on a bank, and its maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated, exact_approximations
from torch import Tensor

import boed.fitting.estimator_training
from boed.estimators.amortised import AmortisedBelief, AmortisedEstimator
from boed.estimators.bank import Bank
from boed.estimators.estimator import BeliefParts
from boed.fitting.estimator_training import train_estimator
from data.dataset import Split

STEPS, IMAGES = 2, 16
TASK = {"seed": 0, "score": "cross-entropy"}


def small_world() -> Enumerated:
    return Enumerated(IMAGES, classes=2)


def untrained(channels: int = 4, glimpses: int = STEPS) -> AmortisedEstimator:
    torch.manual_seed(0)
    return AmortisedEstimator(GEOMETRY, PLACES, glimpses, aligned=True, channels=channels)


def trained(
    bank: Bank, state: Path, iterations: int = 24, *, batch: int = 32, **changed: Any
) -> AmortisedEstimator:
    """Quickly: with small batches, and a high learning rate."""
    estimator = changed.pop("estimator", None) or untrained()
    rows = changed.pop("rows", torch.arange(len(bank)))
    options: dict[str, Any] = {"score": "cross-entropy", "symmetric": False, "glimpses": STEPS, "seed": 0}
    options["task"] = TASK
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boed.fitting.estimator_training, "BATCH", batch)
        patch.setattr(boed.fitting.estimator_training, "LEARNING_RATE", 3e-3)
        train_estimator(estimator, bank, rows, iterations=iterations, state=state, **options | changed)
    return estimator


def belief_of(estimator: AmortisedEstimator, split: Split, rows: Tensor, places: Tensor) -> AmortisedBelief:
    """After glimpses of the images `rows` (B,) at places (B, t)."""
    learned = exact_approximations(small_world())
    noise = torch.zeros(len(rows), STEPS)
    parts = BeliefParts(learned.q, learned.embedded(), PLACES, GEOMETRY, "cross-entropy", noise, 1)
    belief = AmortisedBelief(parts, estimator)
    with torch.no_grad():
        for each in places.T:
            belief.observe(GEOMETRY.retina()(split.images, rows, PLACES[each, None])[:, 0], each)
    return belief


@torch.no_grad()
def totals_of(belief: AmortisedBelief, split: Split, rows: Tensor, places: Tensor) -> Tensor:
    """(B, D) what q knows after the same glimpses."""
    glimpses = GEOMETRY.retina()(split.images, rows, PLACES[places])
    return belief.q.embed(glimpses, GEOMETRY.grid().normalised()[places]).sum(1)


@torch.no_grad()
def own_map(estimator: AmortisedEstimator, split: Split, rows: Tensor, places: Tensor) -> Tensor:
    belief = belief_of(estimator, split, rows, places)
    return belief.own_map(totals_of(belief, split, rows, places), places.shape[1] + 1)


def same_weights(one: AmortisedEstimator, other: AmortisedEstimator) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
