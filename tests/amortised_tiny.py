"""What the tests of the amortised estimator share: a small one, its training on a bank, and its maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated
from torch import Tensor

import boed.fitting.estimator_training
from boed.estimators.amortised import AmortisedBelief, AmortisedEstimator
from boed.estimators.bank import Bank
from boed.fitting.estimator_training import train_estimator
from data.dataset import Split

STEPS, IMAGES = 2, 16
TASK = {"seed": 0, "score": "cross-entropy"}


def small_world() -> Enumerated:
    return Enumerated(IMAGES, classes=2)


def untrained(width: int = 16, glimpses: int = STEPS) -> AmortisedEstimator:
    torch.manual_seed(0)
    return AmortisedEstimator((1, 4, 4), 9, glimpses, width)


def trained(
    bank: Bank, state: Path, iterations: int = 24, *, batch: int = 32, **changed: Any
) -> AmortisedEstimator:
    """Quickly: with small batches, and a high learning rate."""
    estimator = changed.pop("estimator", None) or untrained()
    rows = changed.pop("rows", torch.arange(len(bank)))
    options: dict[str, Any] = {"score": "cross-entropy", "glimpses": STEPS, "seed": 0, "task": TASK}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boed.fitting.estimator_training, "BATCH", batch)
        patch.setattr(boed.fitting.estimator_training, "LEARNING_RATE", 3e-3)
        train_estimator(estimator, bank, rows, iterations=iterations, state=state, **options | changed)
    return estimator


def belief_of(estimator: AmortisedEstimator, split: Split, rows: Tensor, places: Tensor) -> AmortisedBelief:
    """After glimpses of the images `rows` (B,) at places (B, t)."""
    belief = AmortisedBelief(estimator, PLACES, GEOMETRY, len(rows))
    with torch.no_grad():
        for each in places.T:
            belief.observe(GEOMETRY.retina()(split.images, rows, PLACES[each, None])[:, 0], each)
    return belief


@torch.no_grad()
def own_map(estimator: AmortisedEstimator, split: Split, rows: Tensor, places: Tensor) -> Tensor:
    unused = torch.zeros(len(rows), 1)
    return belief_of(estimator, split, rows, places).own_map(unused, places.shape[1] + 1)


def same_weights(one: AmortisedEstimator, other: AmortisedEstimator) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
