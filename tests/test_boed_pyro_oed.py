"""Pyro's own estimators of expected information gain against closed forms, and against the EPE of boed.

Every estimate must lie within five standard errors of the truth. The standard error is not estimated: it is
the standard deviation of a summand under the model, which is known in full, over the square root of the
number of samples. Added is a hundredth of a nat: for the bias of nested Monte Carlo, of order 1 / M, and for
what the optimiser leaves of a variational bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyro
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated, ExactPosterior
from pyro.contrib.oed.eig import marginal_eig, nmc_eig, posterior_eig
from pyro.distributions import Categorical, Delta, MultivariateNormal, Normal
from torch import Tensor

from boed.estimators.epe import expected_scores
from boed.estimators.registry import SCORES
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from boed.posteriors.posterior import Posterior

OUTER, INNER = 4000, 500  # N and M of nested Monte Carlo
FINAL = 20_000  # samples of a variational bound once it is fitted
ERRORS, BIAS = 5, 0.01  # standard errors, nats

COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=torch.float64)
NOISE = 0.5
DESIGNS = torch.tensor([[1.0, 0.0], [0.3, -0.4], [1.0, 1.0]], dtype=torch.float64)


@pytest.fixture(autouse=True)
def _alone() -> None:
    pyro.clear_param_store()
    pyro.set_rng_seed(0)


def adam(rate: float) -> pyro.optim.PyroOptim:
    return pyro.optim.Adam({"lr": rate})


# A linear-Gaussian model: theta ~ N(0, S), y = d . theta + noise.


def linear_model(design: Tensor) -> Tensor:
    with pyro.plate_stack("plates", design.shape[:-1]):
        theta = pyro.sample("theta", MultivariateNormal(torch.zeros_like(COVARIANCE[0]), COVARIANCE))
        return pyro.sample("y", Normal((design * theta).sum(-1), NOISE))


def linear_posterior(y: dict[str, Tensor], design: Tensor, *_: object) -> None:
    """q(theta | y): a Gaussian around a linear function of y, one for each design."""
    gain = pyro.param("gain", torch.zeros_like(DESIGNS))
    scale = pyro.param("scale", torch.eye(2).double().repeat(len(DESIGNS), 1, 1))
    with pyro.plate_stack("plates", design.shape[:-1]):
        pyro.sample("theta", MultivariateNormal(gain * y["y"][..., None], scale_tril=scale.tril()))


def linear_marginal(design: Tensor, *_: object) -> None:
    """q(y): a Gaussian for each design."""
    width = pyro.param("width", torch.ones(len(DESIGNS)).double(), torch.distributions.constraints.positive)
    with pyro.plate_stack("plates", design.shape[:-1]):
        pyro.sample("y", Normal(torch.zeros_like(width), width))


def linear_truth() -> tuple[Tensor, Tensor]:
    r"""EIG $\tfrac12 \ln(1 + d'Sd / \sigma^2)$, and the standard deviation of $\ln p(y|\theta) / p(y)$.

    With correlation r of y and d . theta the logarithm is a constant and half a difference of two squared
    standard normals whose correlation is $\sqrt{1 - r^2}$, so its variance is r^2.
    """
    signal = torch.einsum("li,ij,lj->l", DESIGNS, COVARIANCE, DESIGNS)
    return 0.5 * torch.log1p(signal / NOISE**2), (signal / (signal + NOISE**2)).sqrt()


def assert_close(
    found: Tensor, truth: Tensor, deviation: Tensor, samples: int, *, bias: float = BIAS
) -> None:
    error = deviation / math.sqrt(samples)
    assert error.max() < 0.03  # else it would show nothing
    assert ((found - truth).abs() <= ERRORS * error + bias).all(), (found, truth, error)


def test_nested_monte_carlo_on_the_linear_model() -> None:
    truth, deviation = linear_truth()
    found = nmc_eig(linear_model, DESIGNS, "y", "theta", N=OUTER, M=INNER)
    assert_close(found, truth, deviation, OUTER)


def test_posterior_estimator_on_the_linear_model() -> None:
    r"""The summand is $-\ln q(\theta | y)$: half a chi-square of 2 degrees, of standard deviation 1."""
    truth, _ = linear_truth()
    args = (linear_model, DESIGNS, "y", "theta", 400, 400, linear_posterior, adam(0.05))
    found = posterior_eig(*args, final_num_samples=FINAL)
    assert_close(found, truth, torch.ones(()), FINAL)


def test_marginal_estimator_on_the_linear_model() -> None:
    truth, deviation = linear_truth()
    args = (linear_model, DESIGNS, "y", "theta", 400, 200, linear_marginal, adam(0.05))
    found = marginal_eig(*args, final_num_samples=FINAL)
    assert_close(found, truth, deviation, FINAL)


# The enumerated images: theta is the label, y the grey level of one of nine cells (0, 50, 100 or 200).

LEVELS = (0, 50, 100, 200)
HISTORIES: list[list[int]] = [[], [0], [8, 1]]
EVERY_PLACE = torch.arange(9)


class Cells:
    """The enumerated world after the glimpses that image 0 shows at `history`, as tables for Pyro."""

    def __init__(self, world: Enumerated, history: list[int]) -> None:
        self.history, self.known = history, torch.tensor(world.consistent(0, history))
        levels = torch.from_numpy(np.searchsorted(LEVELS, world.cells[self.known.numpy()]))  # (N, 9)
        labels = world.split.labels[self.known]
        joint = torch.zeros(world.classes, 9, len(LEVELS), dtype=torch.float64)
        for label, row in zip(labels.tolist(), levels, strict=True):
            joint[label, EVERY_PLACE, row] += 1 / len(self.known)
        self.joint = joint.transpose(0, 1)  # p(label, level) at every place: (9, K, V)
        self.prior = self.joint[0].sum(-1)
        self.likelihood = self.joint / self.prior[:, None].clamp(min=1e-300)
        self.epe = torch.tensor(world.epe(0, history), dtype=torch.float64)
        self.gain = torch.special.entr(self.prior).sum() - self.epe

    def model(self, design: Tensor) -> Tensor:
        """Samples "label" and "level" for places (..., 9)."""
        with pyro.plate_stack("plates", design.shape):
            label = pyro.sample("label", Categorical(self.prior))
            return pyro.sample("level", Categorical(self.likelihood[design, label]))

    def deviation(self, summand: Callable[[Tensor], Tensor]) -> Tensor:
        """Standard deviation (9,) of a function (9, K, V) of label and level under the model."""
        value = torch.where(self.joint > 0, summand(self.joint), 0.0)
        mean = (self.joint * value).sum((1, 2), keepdim=True)
        return (self.joint * (value - mean).square()).sum((1, 2)).sqrt()


def log_ratio(joint: Tensor) -> Tensor:
    """log p(label, level) / p(label) p(level)."""
    return (joint / joint.sum(1, keepdim=True) / joint.sum(2, keepdim=True)).log()


def surprise(joint: Tensor) -> Tensor:
    """-log p(label | level)."""
    return -(joint / joint.sum(1, keepdim=True)).log()


@pytest.fixture(scope="module", params=HISTORIES, ids=str)
def cells(request: pytest.FixtureRequest) -> Cells:
    return Cells(Enumerated(), request.param)


def test_the_tables_have_the_enumerated_information(cells: Cells) -> None:
    mean = torch.where(cells.joint > 0, cells.joint * log_ratio(cells.joint), 0.0).sum((1, 2))
    assert torch.allclose(mean, cells.gain, atol=1e-12)
    assert cells.gain.max() > 0.05


def test_nested_monte_carlo_finds_the_enumerated_gain(cells: Cells) -> None:
    found = nmc_eig(cells.model, EVERY_PLACE, "level", "label", N=OUTER, M=INNER)
    assert_close(found, cells.gain, cells.deviation(log_ratio), OUTER)


def test_posterior_estimator_finds_the_enumerated_gain(cells: Cells) -> None:
    """With a table for a guide, fitted by Pyro."""

    def guide(y: dict[str, Tensor], design: Tensor, *_: object) -> None:
        table = pyro.param("table", torch.zeros(9, len(LEVELS), len(cells.prior)).double())
        with pyro.plate_stack("plates", design.shape):
            pyro.sample("label", Categorical(logits=table[design, y["level"]]))

    args = (cells.model, EVERY_PLACE, "level", "label", 400, 200, guide, adam(0.1))
    found = posterior_eig(*args, final_num_samples=FINAL)
    assert_close(found, cells.gain, cells.deviation(surprise), FINAL)


def test_marginal_estimator_finds_the_enumerated_gain(cells: Cells) -> None:
    def guide(design: Tensor, *_: object) -> None:
        table = pyro.param("table", torch.zeros(9, len(LEVELS)).double())
        with pyro.plate_stack("plates", design.shape):
            pyro.sample("level", Categorical(logits=table[design]))

    args = (cells.model, EVERY_PLACE, "level", "label", 400, 200, guide, adam(0.1))
    found = marginal_eig(*args, final_num_samples=FINAL)
    assert_close(found, cells.gain, cells.deviation(log_ratio), FINAL)


# boed's own estimator, on images: one is drawn from those that agree with the history, then seen at a place.


def image_model(world: Enumerated, cells: Cells) -> Callable[[Tensor], Tensor]:
    """Samples "image", its "label" and its "glimpse" (16,) at places (..., 9)."""
    grey = torch.from_numpy(world.cells).double() / 255

    def model(design: Tensor) -> Tensor:
        with pyro.plate_stack("plates", design.shape):
            image = pyro.sample("image", Categorical(torch.ones(len(cells.known))))
            row = cells.known[image]
            pyro.sample("label", Delta(world.split.labels[row]))
            glimpse = grey[row, design][..., None].expand(*row.shape, 16)
            return pyro.sample("glimpse", Delta(glimpse, event_dim=1))

    return model


def as_guide(q: Posterior | ExactPosterior, world: Enumerated, cells: Cells) -> Callable[..., None]:
    """A posterior of boed as the guide of Pyro's estimator, its history that of the cells."""
    glimpses, centres = glimpses_and_centres(world)
    total = q.embed(glimpses[0], centres)[cells.history].sum(0)

    def guide(y: dict[str, Tensor], design: Tensor, *_: object) -> None:
        seen = y["glimpse"].view(*design.shape, 1, 4, 4)
        with pyro.plate_stack("plates", design.shape):
            logits = q.logits(total + q.embed(seen, centres[design]), len(cells.history) + 1)
            pyro.sample("label", Categorical(logits=logits))

    return guide


def glimpses_and_centres(world: Enumerated) -> tuple[Tensor, Tensor]:
    """(24, 9, 1, 4, 4) glimpses of all images at all places, and (9, 2) their centres."""
    rows = torch.arange(len(world.labels))
    glimpses = GEOMETRY.retina()(world.split.images, rows, PLACES.expand(len(rows), -1, -1))
    return glimpses.double(), GEOMETRY.grid().normalised().double()


@torch.no_grad()
def own_estimate(
    q: Posterior | ExactPosterior, world: Enumerated, cells: Cells, score: str
) -> tuple[Tensor, Tensor]:
    """boed's map (9,) under the images that agree with the history, and the deviation (9,) of -log q."""
    glimpses, centres = glimpses_and_centres(world)
    embeddings = q.embed(glimpses, centres.expand(len(glimpses), -1, -1))
    candidates, labels = embeddings[cells.known], world.split.labels[cells.known]  # (N, 9, D), (N,)
    total, count = embeddings[0, cells.history].sum(0), len(cells.history) + 1
    weights = torch.full((1, len(labels)), 1 / len(labels), dtype=torch.float64)
    expected = expected_scores(q, total[None], count, candidates[None], labels[None], weights, score)[0]
    logits = q.logits(total + candidates, count).log_softmax(-1)
    return expected, logits[torch.arange(len(labels)), :, labels].std(0, correction=0)


@torch.no_grad()
def average_posterior_entropy(q: Posterior | ExactPosterior, world: Enumerated, cells: Cells) -> Tensor:
    """Pyro's posterior estimator with q as it is: (9,) means of -log q(label | glimpse)."""
    model, guide = image_model(world, cells), as_guide(q, world, cells)
    args = (model, EVERY_PLACE, "glimpse", "label", OUTER, 0, guide, None)
    return posterior_eig(*args, eig=False)


def test_boed_with_an_exact_posterior_agrees_with_nested_monte_carlo(cells: Cells) -> None:
    world = Enumerated()
    found = nmc_eig(cells.model, EVERY_PLACE, "level", "label", N=OUTER, M=INNER)
    before = torch.special.entr(cells.prior).sum()
    for score in SCORES:
        own, _ = own_estimate(ExactPosterior(world), world, cells, score)
        assert_close(found, before - own, cells.deviation(log_ratio), OUTER)


def test_boed_with_an_exact_posterior_agrees_with_pyros_posterior_estimator(cells: Cells) -> None:
    world = Enumerated()
    found = average_posterior_entropy(ExactPosterior(world), world, cells)
    own, deviation = own_estimate(ExactPosterior(world), world, cells, "cross-entropy")
    assert_close(found, own, deviation, OUTER, bias=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_cross_entropy_of_any_posterior_is_pyros_posterior_estimator(cells: Cells, seed: int) -> None:
    """Untrained networks, each wrong in its own way: the two are the same bound, tight or not."""
    torch.manual_seed(seed)
    q, world = GlimpseSetPosterior((1, 4, 4), 3, 3, width=16).double().eval(), Enumerated()
    q.temperature.fill_(0.1)  # surer of itself than it should be
    own, deviation = own_estimate(q, world, cells, "cross-entropy")
    assert (own > cells.epe).all() and (own - cells.epe).mean() > 0.1
    assert_close(average_posterior_entropy(q, world, cells), own, deviation, OUTER, bias=1e-6)
