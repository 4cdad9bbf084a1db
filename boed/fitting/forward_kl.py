"""Amortised inference in Pyro: a guide is fitted to a model by the forward Kullback-Leibler divergence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import prod
from typing import Any, cast

import torch
from pyro.distributions.util import scale_and_mask
from pyro.infer.elbo import ELBO
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from pyro.util import warn_if_nan
from torch import Tensor

from data.errors import SettingsError

Program = Callable[..., Any]
"""A Pyro model or guide."""


class ForwardKL(ELBO):
    r"""The loss of compiled inference, as an objective for `pyro.infer.SVI` or an optimiser of torch.

    $E_{p(x, y)}[-\log q(x \mid y)] = E_{p(y)}[\mathrm{KL}(p(x \mid y) \,\|\, q(x \mid y)) + H(p(x \mid y))]$

    (Le, Baydin and Wood 2017, arXiv 1610.09900, section 3.1.) Every evaluation draws all sites of the
    model; the guide is told the observed ones and scored at the values of those that it samples. What the
    model samples and the guide does not is thereby marginalised. Where `pyro.infer.CSIS` has a batch of
    traces, here one run has a batch, by plates; the two have the same gradient, in nats per draw.

    The guide is called as the model is, with `observations`, a dictionary, besides, as in `pyro.infer.CSIS`.
    Nothing is learned of the model.

    Args:
        observed: sites of the model that the guide is told.
        averaged: plates over which the loss is a mean; over others it is a sum.

    Raises:
        SettingsError: the guide samples nothing, or what the model does not; or that lacks an observed site.

    >>> import pyro
    >>> from pyro.distributions import Bernoulli, Normal
    >>> def model():
    ...     with pyro.plate("draws", 5000):
    ...         x = pyro.sample("x", Bernoulli(torch.tensor(0.3)))
    ...         pyro.sample("y", Normal(2 * x - 1, 1.0))
    >>> def guide(observations):  # the posterior
    ...     with pyro.plate("draws", 5000):
    ...         pyro.sample("x", Bernoulli(logits=2 * observations["y"] + torch.tensor(0.3 / 0.7).log()))
    >>> loss = ForwardKL(observed=("y",), averaged=("draws",)).loss(model, guide)
    >>> abs(loss - 0.32) < 0.05  # the expected posterior entropy
    True
    """

    def __init__(self, observed: Collection[str], averaged: Collection[str] = ()) -> None:
        super().__init__()
        self.observed, self.averaged = tuple(observed), frozenset(averaged)

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """The loss of one draw from the model."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """The loss of one draw; its gradient is added to those of the guide's parameters."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        loss.backward()
        warn_if_nan(loss, "loss")
        return loss.item()

    def differentiable_loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        """The loss of one draw, (), differentiable by the guide's parameters."""
        terms = self._get_trace(model, guide, args, kwargs)[1].terms
        if not terms:
            raise SettingsError("expected a guide that samples a site of the model, found none; sample one")
        return cast(Tensor, sum(terms))

    def _get_trace(
        self, model: Program, guide: Program, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[_Drawn, _Scored]:
        """A draw from the model, and the guide scored at it."""
        with torch.no_grad(), _Drawn() as drawn:
            model(*args, **kwargs)
        missing = [name for name in self.observed if name not in drawn.values]
        if missing:
            raise SettingsError(
                f"expected a model with the observed sites, found no {', '.join(missing)} among "
                f"{', '.join(drawn.values)}; rename them"
            )
        observations = {name: drawn.values[name] for name in self.observed}
        with _Scored(drawn.values, self.averaged) as scored:
            guide(*args, observations=observations, **kwargs)
        return drawn, scored


class _Drawn(Messenger):
    """The values of all sites that are sampled; less than a trace, and sooner made."""

    def __init__(self) -> None:
        super().__init__()
        self.values = dict[str, Tensor]()

    def _pyro_post_sample(self, site: Any) -> None:
        if not site_is_subsample(site):
            self.values[site["name"]] = site["value"]


class _Scored(Messenger):
    """Gives sites their values, and keeps their negative log-probabilities.

    Args:
        values: of all sites.
        averaged: see `ForwardKL`.
    """

    def __init__(self, values: Mapping[str, Tensor], averaged: Collection[str]) -> None:
        super().__init__()
        self.values, self.averaged = values, averaged
        self.terms = list[Tensor]()

    def _pyro_sample(self, site: Any) -> None:
        if site["is_observed"] or site_is_subsample(site):
            return
        if site["name"] not in self.values:
            raise SettingsError(
                f"expected a guide of sites that the model has, {', '.join(self.values)}, found "
                f"{site['name']}; rename it"
            )
        site["value"], site["done"] = self.values[site["name"]], True

    def _pyro_post_sample(self, site: Any) -> None:
        if site["is_observed"] or site_is_subsample(site):
            return
        log_prob = scale_and_mask(site["fn"].log_prob(site["value"]), site["scale"], site["mask"])
        draws = prod(frame.size for frame in site["cond_indep_stack"] if frame.name in self.averaged)
        self.terms.append(-log_prob.sum() / draws)
