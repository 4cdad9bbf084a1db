"""The stochastic image completion r(x | y_1..y_t) by importance-sampled retrieval from real images."""

from __future__ import annotations

import pyro
import torch
from pyro.distributions import Categorical, Normal
from torch import Tensor

from boed.completions.completion import CompletionTask
from data.dataset import Split
from data.retina import Retina

SAMPLE_SIZE = 20.0  # 5 and 80 make maps that are as good
NEWTON_STEPS = 14
LEAST_PRECISE, FIRST_PRECISION, MOST_PRECISE = 1e-6, 10.0, 1e4
FARTHEST = 1e200
ROWS = 16  # histories at a time: their distances stay in a core's cache


class RetrievalCompletion:
    r"""Images of a bank, weighted by how well they explain the observed glimpses.

    The Pyro model draws an image of the bank uniformly and observes its glimpses under Gaussian noise:

    $n \sim \mathrm{Uniform}(1..M), \quad y_i \sim \mathcal N(\mathrm{sensor}(x_n, l_i), \sigma^2), i \le t$

    so that $\log w_n = -\tfrac{1}{2\sigma^2} \sum_i \lVert y_i - \mathrm{sensor}(x_n, l_i) \rVert^2$: the
    log-likelihoods of the glimpses *add*. The noise variance is what makes the importance sampler work in
    768 dimensions and more; it is chosen for each history so that the effective sample size
    $1 / \sum_n w_n^2$ meets a target. Retrieval as a completion is due to Harvey, Teng and Wood,
    arXiv 1906.05462.

    Args:
        bank: images with labels; they must not have trained the posterior that scores them.
        retina: the sensor.
        target_ess: effective number of bank images per history.

    >>> bank = Split(torch.zeros(9, 8, 8, 1, dtype=torch.uint8), torch.arange(9), torch.arange(9), "")
    >>> r = RetrievalCompletion(bank, Retina(4), target_ess=3)
    >>> r.log_weights(torch.arange(9.0, dtype=torch.float64)[None]).exp().square().sum().reciprocal().round()
    tensor(3., dtype=torch.float64)
    """

    def __init__(self, bank: Split, retina: Retina, target_ess: float = SAMPLE_SIZE) -> None:
        self.bank, self.retina = bank, retina
        self.target_ess = min(target_ess, float(len(bank)))

    def model(self, locations: Tensor, noise: Tensor) -> Tensor:
        """The generative model as Pyro sees it: sites "image" and "glimpses" for places (t, 3)."""
        images = self.bank.images
        image = pyro.sample("image", Categorical(torch.ones(len(images), device=images.device)))
        rows = image.view(-1)
        mean = self.retina(images, rows, locations.expand(len(rows), -1, -1)).double()  # (N, t, S*C, G, G)
        return pyro.sample("glimpses", Normal(mean.view(*image.shape, *mean.shape[1:]), noise).to_event(4))

    def log_weights(self, distances: Tensor) -> Tensor:
        """Normalised log-weights (B, M) from summed squared distances (B, M), at the target ESS.

        An infinite distance excludes an image.
        """
        return tempered(distances, self.target_ess)

    @staticmethod
    def draw(log_weights: Tensor, count: int, offsets: Tensor) -> Tensor:
        """(B, count) bank images by systematic resampling; `offsets` (B,) in [0, 1) are the only noise."""
        cumulative = log_weights.exp().cumsum(1)
        points = (torch.arange(count, device=offsets.device) + offsets[:, None]) / count
        drawn = torch.searchsorted(cumulative / cumulative[:, -1:], points, right=True)
        return drawn.clamp(max=log_weights.shape[1] - 1)


def from_bank(task: CompletionTask) -> RetrievalCompletion:
    """Retrieval from the labelled images that q has not seen."""
    return RetrievalCompletion(task.bank, task.geometry.retina())


def tempered(distances: Tensor, target_ess: float, prior: Tensor | None = None) -> Tensor:
    """Normalised log-weights -c * distances (B, M) + log prior (M,), each c such that the ESS meets a target.

    The effective sample size falls with the precision c = 1 / (2 sigma^2), measured where the mean distance
    is 1. Infinite distances weigh nothing.
    """
    excess = distances - distances.amin(1, keepdim=True)
    finite = excess.isfinite()
    scale = excess.where(finite, 0).sum(1, keepdim=True) / finite.sum(1, keepdim=True)
    relative = excess / scale.clamp(min=1e-9)
    log_prior = distances.new_zeros(1) if prior is None else prior.log()
    target = min(target_ess, float(distances.shape[1]))
    precision = torch.cat([_precision(part, log_prior, target) for part in relative.split(ROWS)])
    weights = -relative * precision + log_prior
    return weights.masked_fill(~finite, -torch.inf).log_softmax(1)  # the precision may be 0


def joined(log_weights: Tensor, labels: Tensor, log_q: Tensor) -> Tensor:
    r"""Normalised log-weights (B, M) of bank images under the joint belief of posterior and completion.

    $p(\theta, x \mid y) = q(\theta \mid y)\, r(x \mid \theta, y), \quad
    w'_n \propto q(\theta_n)\, w_n / \sum_{m: \theta_m = \theta_n} w_m$

    Within a class images keep their proportions, and the shares of the classes become those of q. A class
    without an image of any weight gets nothing, and the others are renormalised.

    Args:
        log_weights: (B, M), normalised or not; minus infinity excludes an image.
        labels: (M,) of the bank.
        log_q: (B, K) log-probabilities of the classes, normalised or not.

    >>> joined(torch.zeros(1, 4), torch.tensor([0, 1, 1, 1]), torch.tensor([[0.4, 0.6]]).log()).exp()
    tensor([[0.4000, 0.2000, 0.2000, 0.2000]])
    """
    index = labels.expand_as(log_weights)
    peaks = torch.full_like(log_q, -torch.inf, dtype=log_weights.dtype)  # (B, K)
    peaks.scatter_reduce_(1, index, log_weights, "amax")
    peaks = peaks.where(peaks.isfinite(), 0.0)  # of no image: nothing less nothing would be no number
    within = log_weights - peaks.gather(1, index)  # (B, M): at most 0, and 0 in every class
    totals = torch.zeros_like(peaks).scatter_add_(1, index, within.exp()).clamp(min=1)  # 0 of no image
    return (within + (log_q - totals.log()).gather(1, index)).log_softmax(1)


def _precision(relative: Tensor, log_prior: Tensor, target: float) -> Tensor:
    """(B, 1) precision c at which weights exp(-c * relative) * prior (B, M) have the effective sample size.

    Newton's method on log ESS as a function of log c, within a bracket. 0 where even without the distances
    the ESS is not above it.
    """
    most = effective_sample_size(log_prior.expand_as(relative).masked_fill(relative.isinf(), -torch.inf))
    distance = relative.clamp(max=FARTHEST)  # infinity times a weight of 0 would be no number
    low = relative.new_zeros(len(relative), 1)
    high, precision = torch.full_like(low, MOST_PRECISE), torch.full_like(low, FIRST_PRECISION)
    for _ in range(NEWTON_STEPS):
        logits = log_prior - precision * distance
        weights = (logits - logits.amax(1, keepdim=True)).exp_()
        pull = distance * weights
        total, squares = weights.sum(1, keepdim=True), weights.square().sum(1, keepdim=True)
        error = (total.square() / squares / target).log()
        slope = (
            2
            * precision
            * ((pull * weights).sum(1, keepdim=True) / squares - pull.sum(1, keepdim=True) / total)
        )
        low, high = torch.where(error > 0, precision, low), torch.where(error > 0, high, precision)
        step = precision * (-error / slope).exp()
        inside = (step >= low) & (step <= high)  # false for no number, where the ESS is flat
        precision = torch.where(inside, step, (low.clamp(min=LEAST_PRECISE) * high).sqrt())
    return precision.where(most > target * (1 + 1e-9), 0.0)  # equal but for rounding


def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """(B, M) squared distances between rows of (B, P) and (M, P) double grey levels.

    Every term is an exact multiple of a grey level, so the result does not depend on how images are batched.
    """
    cross = one @ other.T  # (B, P) x (P, M)
    return (one.square().sum(1)[:, None] + other.square().sum(1) - 2 * cross).clamp(min=0)


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """1 / sum of squared normalised weights, (B, 1) for unnormalised log-weights (B, N).

    >>> effective_sample_size(torch.zeros(1, 4)).item()
    4.0
    """
    return log_weights.softmax(1).square().sum(1, keepdim=True).reciprocal()
