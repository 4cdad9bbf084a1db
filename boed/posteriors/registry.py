"""Posteriors q by name, and what is to be known of them before one is made.

A new one is a `boed.posteriors.posterior.Posterior` and a function that makes it, registered:

    POSTERIORS.register("mine")(PosteriorKind(new_mine))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.plugins import Registry, deferred

if TYPE_CHECKING:
    from boed.posteriors.posterior import Posterior  # torch, for which names do not wait


@dataclass(frozen=True)
class PosteriorKind:
    """One posterior of the registry.

    Args:
        new: (geometry, settings, places (L, 3), *, classes, attributes) -> an untrained posterior of the
            size that the settings name, for A attributes of K classes each; trained by `boed fit` as any
            other, and loaded into by its `state_dict`.
        exact: whether it knows the images of the task: then nothing is learned or calibrated, and only
            images that can be enumerated will do.
        first_glance: whether the first glimpse may be the whole image at a glance.
        sides: whether squares of several sides may be looked at.
        covering: whether it is taught first by glimpses that cover each image.
    """

    new: Callable[..., Posterior]
    exact: bool = False
    first_glance: bool = False
    sides: bool = False
    covering: bool = False


POSTERIORS: Registry[PosteriorKind] = Registry("posterior")
POSTERIORS.register("glimpse-set")(
    PosteriorKind(deferred("boed.posteriors.glimpse_set:new_posterior"), first_glance=True, sides=True)
)
for _name, _new in (("glimpse-max", "new_max_posterior"), ("glimpse-sum-max", "new_sum_max_posterior")):
    POSTERIORS.register(_name)(
        PosteriorKind(
            deferred(f"boed.posteriors.glimpse_max:{_new}"), first_glance=True, sides=True, covering=True
        )
    )
POSTERIORS.register("avp-cnn")(PosteriorKind(deferred("boed.posteriors.avp_cnn:new_posterior")))
POSTERIORS.register("exact")(PosteriorKind(deferred("boed.posteriors.exact:new_posterior"), exact=True))
