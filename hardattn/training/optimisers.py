"""Optimisers and schedules of the learning rate by name; both are torch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from data.errors import SettingsError
from hardattn.training.choices import DECAY, SCHEDULES

WARM_UP = 50  # iterations
CYCLE_UP, CYCLE_FIRST, CYCLE_LAST = 0.2, 1 / 25, 1 / 250_000  # share of the budget, and factors at the ends
Factor = Callable[[int, float], float]
"""Of the learning rate, after so many iterations and with such a share of the budget used."""


def optimiser_of(
    name: str, parameters: Iterable[nn.Parameter], rate: float, weight_decay: float, momentum: float = 0.0
) -> Optimizer:
    """One of `hardattn.training.choices.OPTIMIZERS`.

    AdamW shrinks the weights by themselves (Loshchilov and Hutter 2019, arXiv 1711.05101); Adam (Kingma and
    Ba 2015, arXiv 1412.6980) and SGD add the weight decay times the weights to their gradient.

    Args:
        name: "adamw", "adam" or "sgd".
        parameters: of the network, in one group.
        rate: the learning rate that a schedule multiplies.
        weight_decay: see above.
        momentum: of SGD.

    >>> type(optimiser_of("sgd", nn.Linear(1, 1).parameters(), 0.1, 0.0, 0.9)).__name__
    'SGD'
    """
    options: dict[str, Any] = {"lr": rate, "weight_decay": weight_decay, "fused": True}
    kinds: dict[str, Callable[..., Optimizer]] = {
        "adamw": torch.optim.AdamW,
        "adam": torch.optim.Adam,
        "sgd": torch.optim.SGD,
    }
    own = {"momentum": momentum} if name == "sgd" else {}
    optimiser = kinds[name]([{"params": list(parameters)}], **options, **own)
    optimiser.param_groups[0]["initial_lr"] = rate  # a schedule that is taken up goes by it
    return optimiser


def factor_of(schedule: str, per_epoch: int) -> Factor:
    """What a schedule makes of the learning rate.

    Args:
        schedule: "cosine", see `warm_up_and_cosine`; "one-cycle", see `one_cycle`; "none", 1 throughout;
            "decay=G", G to the power of the epochs that are over.
        per_epoch: iterations of an epoch.

    Raises:
        SettingsError: it is none of these.

    >>> factor = factor_of("decay=0.5", per_epoch=10)
    >>> [factor(iteration, 0.0) for iteration in (0, 9, 10, 29)]
    [1.0, 1.0, 0.5, 0.25]
    """
    decay = decay_of(schedule)
    if decay is not None:
        return lambda iteration, fraction: decay ** (iteration // per_epoch)
    named: dict[str, Factor] = {"cosine": warm_up_and_cosine, "one-cycle": one_cycle}
    return named.get(schedule, lambda iteration, fraction: 1.0)


def decay_of(schedule: str) -> float | None:
    """G of "decay=G", None of another schedule; raises SettingsError where it is not one.

    >>> decay_of("decay=0.95"), decay_of("cosine")
    (0.95, None)
    """
    if schedule in SCHEDULES:
        return None
    name, _, number = schedule.partition("=")
    try:
        decay = float(number) if name == DECAY else math.nan
    except ValueError:
        decay = math.nan
    if not 0 < decay < 1:
        raise SettingsError(
            f"expected a --schedule of {', '.join(SCHEDULES)} or {DECAY}=G, G between 0 and 1, found "
            f"{schedule!r}; change it"
        )
    return decay


def warm_up_and_cosine(iteration: int, fraction: float) -> float:
    """Factor of the learning rate: 50 iterations of warming up, then a cosine to 0.

    >>> warm_up_and_cosine(0, 0.0), warm_up_and_cosine(100, 0.0), warm_up_and_cosine(100, 1.0)
    (0.02, 1.0, 0.0)
    """
    return min(1.0, (iteration + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * fraction))


def one_cycle(iteration: int, fraction: float) -> float:
    """Factor of the learning rate that goes up once, for a fifth of the budget, and down once.

    Smith and Topin 2019 (arXiv 1708.07120), with the shares that MultiGlimpse was trained with (Tan et al.
    2021, arXiv 2111.02018).

    >>> [round(one_cycle(0, fraction), 3) for fraction in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    if fraction < CYCLE_UP:
        return _along_half_a_cosine(CYCLE_FIRST, 1.0, fraction / CYCLE_UP)
    return _along_half_a_cosine(1.0, CYCLE_LAST, (fraction - CYCLE_UP) / (1 - CYCLE_UP))


def _along_half_a_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
