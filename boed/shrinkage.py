"""Empirical-Bayes shrinkage of an image's EPE map towards the average map of its history's locations.

An image's own map is noisy: few completions, an approximate q. The average over labelled held-out images
of the cross-entropy after a glimpse at each place, given only *where* the history looked, is not; taking
its argmin at every step is the fixed greedy order. The map that is minimised is

    map_t = (1 - w_t) * average_t + w_t * own_t

with w_t chosen on held-out images, so that the design leaves the fixed order only where that has paid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boed.epe import candidate_scores
from boed.posterior import Posterior

WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
REFERENCE_ROWS = 40_000  # (reference image, place) pairs behind an average
CHUNK = 64  # reference images at a time: what fits a core's cache


class AverageMaps:
    """Average score of every place given the places already seen, computed once per history.

    Args:
        q: posterior.
        embeddings: (M, L, D) of labelled held-out images.
        labels: (M,).
        score: "entropy" or "cross-entropy".
    """

    def __init__(self, q: Posterior, embeddings: Tensor, labels: Tensor, score: str) -> None:
        count = min(len(labels), max(1, REFERENCE_ROWS // embeddings.shape[1]))
        rows = torch.linspace(0, len(labels) - 1, count).long().to(labels.device)
        self.q, self.score = q, score
        self.embeddings, self.labels = embeddings[rows], labels[rows]
        self._known: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, histories: Tensor) -> Tensor:
        """(B, L) nats, double, for the places (B, t) seen so far; their order does not matter."""
        keys = [tuple(sorted(row)) for row in histories.tolist()]
        for key in set(keys) - self._known.keys():
            self._known[key] = self._average(list(key))
        return torch.stack([self._known[key] for key in keys])

    def _average(self, history: list[int]) -> Tensor:
        total = self.embeddings[:, history].sum(1)  # (M, D); zeros without a history
        parts = zip(total.split(CHUNK), self.embeddings.split(CHUNK), self.labels.split(CHUNK), strict=True)
        scores = [
            candidate_scores(self.q, some[:, None], len(history) + 1, candidates, labels, self.score)
            for some, candidates, labels in parts
        ]
        return torch.cat(scores).double().mean(0)


def choose_weight(average: Tensor, own: Tensor, realised: Tensor) -> float:
    """The weight whose choices have the lowest mean realised loss; of equals the smallest.

    Args:
        average, own: (B, L) maps of held-out images, infinite where a place must not be taken.
        realised: (B, L) loss in nats after a glimpse at each place.

    >>> own = torch.tensor([[0., 1.], [1., 0.]] * 9)
    >>> choose_weight(torch.tensor([[0., .1]] * 18), own, own)
    0.1
    """
    choices = [shrunk(average, own, weight).argmin(1, keepdim=True) for weight in WEIGHTS]
    losses = torch.stack([realised.gather(1, choice).mean() for choice in choices])
    return WEIGHTS[int(losses.argmin())]


def shrunk(average: Tensor, own: Tensor, weight: float) -> Tensor:
    """(1 - w) average + w own; infinities of `average` stay."""
    return torch.where(average.isinf(), average, (1 - weight) * average + weight * own)
