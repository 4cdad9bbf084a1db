"""The contract of an amortised posterior q(label | glimpses, locations): a Pyro guide."""

from __future__ import annotations

import copy
from contextlib import ExitStack

import numpy as np
import pyro
import torch
from pyro.distributions import Categorical
from pyro.nn import PyroModule
from torch import Tensor
from torch.nn.functional import cross_entropy

from boed.joint_model import PLATES, plate
from boed.posteriors.heads import Heads


class Posterior(PyroModule):
    r"""q(label | y_1..y_t, l_1..l_t) through statistics of the glimpses that *combine*.

    $q = \mathrm{Categorical}(\mathrm{softmax}(f(\bigoplus_{i \le t} e(y_i, l_i), t)))$

    Whatever the network, what it knows of a history is one statistic e per glimpse, combined number by number
    by an operation that is associative and whose neutral element is 0: the sum (of embeddings, of pixels
    pasted on an empty canvas, of the log-likelihoods of enumerated images), the maximum (of features that are
    never negative), or for some numbers the one and for the others the other. So the search can combine a
    candidate's glimpse with a history without computing the history again, and the statistic of a
    completion's glimpse is computed once for all histories. A sum over many glimpses drowns the one that
    tells; a maximum does not (Qi et al. 2017, arXiv 1612.00593, have it for sets of points).

    A posterior of A attributes has a head for each, and one network for all of them; the glimpses are then
    embedded once for all attributes, and `attribute` gives the posterior of one.

    An implementation defines `embed`, `logits` and, if it is learned, `head`. It is a Pyro guide: `forward`
    samples the site "label". Harvey, Teng and Wood (arXiv 1906.05462) have a CNN on the masked image in this
    part.

    Args:
        glimpses: largest t.

    Attributes:
        temperature: (T+1,) divides the logits of each t; set by calibration on held-out images.
        added: how many of the D numbers of a statistic, the first ones, add; the others combine by the
            maximum. None: all add.
    """

    temperature: Tensor
    added: int | None = None
    head: Heads

    def __init__(self, glimpses: int) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(glimpses + 1))

    def embed(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        """e(y, l): (..., D) for glimpses (..., S*C, G, G) in [0, 1] at centres (..., P), see
        `data.geometry.Geometry.centres`.
        """
        raise NotImplementedError

    def logits(self, total: Tensor, count: int | Tensor) -> Tensor:
        """Unnormalised log-probabilities (..., K) from combined statistics (..., D) of `count` glimpses.

        They are (..., A, K) where there are several attributes. `total` belongs to the callee and may be
        overwritten.
        """
        raise NotImplementedError

    def combine(self, one: Tensor, other: Tensor) -> Tensor:
        """(..., D) the statistic of two sets of glimpses (..., D) together, of any shapes that broadcast."""
        if self.added is None:
            return one + other
        added = one[..., : self.added] + other[..., : self.added]
        return torch.cat([added, torch.maximum(one[..., self.added :], other[..., self.added :])], -1)

    def combine_(self, one: Tensor, other: Tensor) -> Tensor:
        """The same, written into `one`, whose shape it has: large blocks are not held twice."""
        if self.added is None:
            return one.add_(other)
        one[..., : self.added].add_(other[..., : self.added])
        one[..., self.added :].clamp_(min=other[..., self.added :])
        return one

    def combined(self, each: Tensor, dim: int) -> Tensor:
        """The statistic of all glimpses along a dimension of statistics (..., D), which it loses."""
        if self.added is None:
            return each.sum(dim)
        return torch.cat([each[..., : self.added].sum(dim), each[..., self.added :].amax(dim)], -1)

    def prefixes(self, each: Tensor) -> Tensor:
        """(B, T, D) the statistic of the first t glimpses for every t, of statistics (B, T, D)."""
        if self.added is None:
            return each.cumsum(1)
        highest = each[..., self.added :].cummax(1).values
        return torch.cat([each[..., : self.added].cumsum(1), highest], -1)

    def forward(self, glimpses: Tensor, centres: Tensor, shift: Tensor | None = None) -> Tensor:
        """Samples "label" for every prefix of the glimpses (B, T, S*C, G, G): (T, B), or (T, A, B).

        The plates of `boed.joint_model.JointModel`, and before them one over the prefixes: each is an
        inference problem of its own, with the same label.

        Args:
            glimpses, centres, shift: see `prefix_logits`.
        """
        logits = self.prefix_logits(glimpses, centres, shift)
        names = PLATES if logits.dim() == 4 else (PLATES[0], PLATES[2])
        with ExitStack() as plates:
            for axis, name in enumerate(names, 1):
                plates.enter_context(plate(name, logits.shape[-1 - axis], dim=-axis))
            return pyro.sample("label", Categorical(logits=logits, validate_args=False))

    def prefix_logits(self, glimpses: Tensor, centres: Tensor, shift: Tensor | None = None) -> Tensor:
        """(T, B, K) logits for every prefix of the glimpses (B, T, S*C, G, G), or (T, A, B, K).

        Args:
            glimpses, centres: see `embed`.
            shift: (K,) added to the logits, where labels have other shares than q is to know; see
                `boed.search.balance.shift`.
        """
        most, seen = len(self.temperature) - 1, glimpses.shape[1]
        counts = torch.arange(1, seen + 1, device=glimpses.device)
        if seen > most:  # early in training: they are as many
            counts.clamp_(max=most)
        logits = self.logits(self.prefixes(self.embed(glimpses, centres)), counts)  # (B, T, [A,] K)
        return (logits if shift is None else logits + shift).movedim(0, -2)

    def read(self, features: Tensor, count: int | Tensor) -> Tensor:
        """Logits of the heads on features (..., F), over the temperature of each count."""
        return self.head.by_attribute(self.divided(self.head(features), count))

    def attribute(self, number: int) -> Posterior:
        """A copy for one of the attributes; its statistics are the same."""
        one = copy.deepcopy(self)
        one.head = self.head.only(number)
        return one

    def divided(self, logits: Tensor, count: int | Tensor) -> Tensor:
        """Logits (..., K) over the temperature of each count."""
        temperature = self.temperature[count]
        return logits / (temperature if isinstance(count, int) else temperature[..., None])


def negative_log_posterior(
    q: Posterior, glimpses: Tensor, centres: Tensor, labels: Tensor, shift: Tensor | None = None
) -> Tensor:
    """Mean of -log q(label | first t glimpses) over images and prefixes, in nats.

    `labels` (B,), or (B, A) where q is of several attributes; then it is the mean over these too. With a
    shift (K,) q is scored among labels of other shares, see `Posterior.prefix_logits`.

    The loss of amortised inference: minimising it over (glimpses, label) pairs fits the guide to the true
    posterior, and its value bounds the expected posterior entropy from above (Barber and Agakov 2003;
    Foster et al. 2019, arXiv 1903.05480, the posterior estimator). A trace of the guide with its labels
    observed has the same value, and takes longer.
    """
    logits = q.prefix_logits(glimpses, centres, shift)  # (T, [A,] B, K)
    own = labels.movedim(0, -1).expand(logits.shape[:-1])
    return cross_entropy(logits.flatten(0, -2).float(), own.flatten())


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature in [0.1, 4] with the lowest cross-entropy of logits / temperature.

    >>> best_temperature(torch.tensor([[9.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])) > 3.9
    True
    """
    grid = np.geomspace(0.1, 4, 75)
    losses = torch.stack([cross_entropy(logits / float(t), labels) for t in grid])
    return float(grid[int(losses.argmin())])
