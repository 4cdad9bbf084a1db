"""Estimators of the EPE by name, and what is to be known of them before one is learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.plugins import Registry, deferred

if TYPE_CHECKING:
    from torch import nn  # for which names do not wait

    from boed.estimators.estimator import Belief

SCORES = ("cross-entropy", "entropy", "information")
"""What is expected of a place, see `boed.estimators.epe`."""


@dataclass(frozen=True)
class EstimatorKind:
    """One estimator of the registry.

    Args:
        belief: (parts) -> what it knows of images before their first glimpse; see
            `boed.estimators.estimator.BeliefParts`.
        new: (task) -> its untrained network, where it has one; see `boed.estimators.estimator.EstimatorTask`.
        fit: (network, task) -> None; trains the network in place. The file `task.state` may keep an
            interrupted training.
        completes: whether it needs completions.
        scores: those of `SCORES` that it can estimate.
        first_glance: whether the first glimpse may be the whole image at a glance.
        sides: whether squares of several sides may be looked at.
        stem: of the file that the network is kept in; "" for "estimator-NAME".
    """

    belief: Callable[..., Belief]
    new: Callable[..., nn.Module] | None = None
    fit: Callable[..., None] | None = None
    completes: bool = True
    scores: tuple[str, ...] = SCORES
    first_glance: bool = False
    sides: bool = False
    stem: str = ""


ESTIMATORS: Registry[EstimatorKind] = Registry("estimator")
ESTIMATORS.register("completion")(
    EstimatorKind(
        deferred("boed.estimators.completion_belief:completion_belief"), first_glance=True, sides=True
    )
)
ESTIMATORS.register("amortised")(
    EstimatorKind(
        deferred("boed.estimators.amortised:amortised_belief"),
        new=deferred("boed.estimators.amortised:new_estimator"),
        fit=deferred("boed.fitting.estimator_training:fit_estimator"),
        completes=False,
        scores=SCORES[:2],
        first_glance=True,
        sides=True,
        stem="estimator",
    )
)
