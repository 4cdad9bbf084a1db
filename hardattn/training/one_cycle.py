"""A training by stochastic gradient descent with momentum, its learning rate going up once and down once.

As MultiGlimpse was trained (Tan et al. 2021, arXiv 2111.02018), by the schedule of Smith and Topin 2019
(arXiv 1708.07120).
"""

from __future__ import annotations

import math
from typing import Any

import torch

from hardattn.training.learner import Learner
from hardattn.training.registry import LEARNERS

MOMENTUM = 0.9
WARM_UP = 0.2  # of the budget
FIRST, LAST = 1 / 25, 1 / 250_000  # of the largest rate


def one_cycle(fraction: float) -> float:
    """Factor of the learning rate when `fraction` of the budget is used: half a cosine up, then one down.

    >>> [round(one_cycle(fraction), 3) for fraction in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    if fraction < WARM_UP:
        return _between(FIRST, 1.0, fraction / WARM_UP)
    return _between(1.0, LAST, (fraction - WARM_UP) / (1 - WARM_UP))


def _between(start: float, end: float, share: float) -> float:
    """From one to the other along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@LEARNERS.register("one-cycle")
class OneCycleLearner(Learner):
    """`Learner`, with momentum 0.9 instead of AdamW; rate, weight decay and clipping are the recipe's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rate, decay = self.recipe.learning_rate, self.recipe.weight_decay
        weights = [{"params": list(self.network.parameters())}]
        self.optimiser = torch.optim.SGD(weights, lr=rate, momentum=MOMENTUM, weight_decay=decay)

    def _set_rate(self, fraction: float) -> None:
        self.fraction = fraction
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * one_cycle(fraction)
