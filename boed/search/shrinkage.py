"""Empirical-Bayes shrinkage of an image's EPE map towards the average map of its history's locations.

An image's own map is noisy: few completions, an approximate q. The average over labelled held-out images
of the cross-entropy after a glimpse at each place, given only *where* the history looked, is not; taking
its argmin at every step is the fixed greedy order. The map that is minimised is

    map_t = (1 - w_t) * average_t + w_t * own_t

with w_t chosen on held-out images: 0 unless the advantage over 0 exceeds twice its standard error, so that
the design leaves the fixed order only where that has paid beyond noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from boed.estimators.bank import Bank
from boed.estimators.calibration import contrasts
from boed.estimators.epe import candidate_scores
from data.stages import stage

DIGITS = 2  # of a weight, which is known no better
TINY = 1e-9
REFERENCE_ROWS = 15_000  # (reference image, place) pairs behind an average
REFERENCE_VALUES = 2**26  # of statistics, which may be large, at most
WHOLE_VALUES = 2**32  # of statistics in an average over the whole bank, at most
ERRORS = 2.0  # standard errors by which a weight must beat the fixed order
KEPT = 100_000  # histories whose averages are kept; of millions of images there are many more
CHUNK = 64  # reference images at a time: what fits a core's cache


class AverageMaps:
    """Average score of every place given the places already seen; of the last histories it is kept.

    For the score "information" it is the average entropy: over many images the two differ by what does not
    depend on the place, if q is calibrated.

    Before the first glimpse all images share one map: it is the average over the whole bank, unless that is
    very large. Other histories have a sample of the bank, or all of it if asked for.

    Args:
        bank: labelled held-out images and their statistics.
        score: see `boed.estimators.epe`.
        whole: whether every history gets the average over the whole bank.
        images: in that sample, at most; fewer are faster and make noisier maps.
    """

    def __init__(self, bank: Bank, score: str, *, whole: bool = False, images: int | None = None) -> None:
        pairs = min(REFERENCE_ROWS, REFERENCE_VALUES // bank.width)
        count = min(len(bank), max(1, pairs // len(bank.places)), images or len(bank))
        self.bank, self.whole = bank, whole
        rows = torch.linspace(0, len(bank) - 1, count).long().to(bank.labels.device)
        self.q, self.score, self.rows = bank.q, score, rows
        self.statistics, self.labels = bank.statistics(rows), bank.labels[rows]
        self._known: dict[tuple[int, ...], Tensor] = {}

    @torch.no_grad()
    def __call__(self, histories: Tensor) -> Tensor:
        """(B, L) nats, double, for the places (B, t) seen so far; their order does not matter."""
        keys = [tuple(sorted(row)) for row in histories.tolist()]
        new = sorted(set(keys) - self._known.keys())
        if new:
            self._known |= zip(new, self._averages(histories.new_tensor(new)), strict=True)
        used = {key: self._known.pop(key) for key in dict.fromkeys(keys)}
        self._known |= used  # at the end of those that are kept
        for key in list(islice(self._known, max(0, len(self._known) - KEPT))):
            del self._known[key]
        return torch.stack([used[key] for key in keys])

    @stage("average maps")
    def without(self, rows: Tensor, averages: Tensor, own: Tensor) -> Tensor:
        """(B, L) averages over the other images, where the images themselves are among the references.

        Args:
            rows: (B,) which bank image each is.
            averages: (B, L) of this, given where these images looked, which is somewhere.
            own: (B, L) scores of each image itself, given the same.
        """
        whole = self._averages_whole(any_seen=True)
        count = len(self.bank) if whole else len(self.rows)
        others = (averages * count - own) / max(1, count - 1)
        return others if whole else others.where(torch.isin(rows, self.rows)[:, None], averages)

    def _averages(self, histories: Tensor) -> Tensor:
        """(H, L) of histories (H, t): a block of images serves all of them while it is in the cache."""
        count, images = histories.shape[1], 0
        total = torch.zeros(
            len(histories), len(self.bank.places), dtype=torch.float64, device=histories.device
        )
        for candidates, labels in self._references(count > 0):
            images += len(labels)
            for history, its_total in zip(histories, total, strict=True):
                known = self._combined(candidates.index_select(1, history))
                after = self.q.logits(self.q.combine(known, candidates), count + 1)
                scores = candidate_scores(after, labels, self.score)
                its_total += scores.double().sum(0)
        return total / images

    def _combined(self, looked: Tensor) -> Tensor:
        """(m, 1, D) what is known after the glimpses with statistics (m, t, D); t may be 0."""
        if not looked.shape[1]:
            return looked.new_zeros(len(looked), 1, looked.shape[2])
        return self.q.combined(looked, 1)[:, None]

    def _references(self, any_seen: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Statistics (m, L, D) and labels (m,) of the images behind an average, block by block."""
        if self._averages_whole(any_seen):
            for rows in torch.arange(len(self.bank), device=self.labels.device).split(CHUNK):
                yield self.bank.statistics(rows), self.bank.labels[rows]
        else:
            yield from zip(self.statistics.split(CHUNK), self.labels.split(CHUNK), strict=True)

    def _averages_whole(self, any_seen: bool) -> bool:
        """Whether the whole bank is behind an average; whether it is kept makes no difference."""
        everything = len(self.bank) * len(self.bank.places) * self.bank.width <= WHOLE_VALUES
        return everything and (self.whole or not any_seen)


def choose_weight(average: Tensor, own: Tensor, realised: Tensor, errors: float = ERRORS) -> float:
    r"""The weight of own maps that tells best how places differ, or 0 where choosing by it does not pay.

    The differences between the places of an image are regressed on those of both maps,

    $\tilde s_{bl} \approx \beta_0\,\overline{m}_{bl} + \beta_1\,\tilde m_{bl}, \quad
    w = \beta_1 / (\beta_0 + \beta_1), \quad \beta \ge 0$

    which is the linear empirical-Bayes estimate of the realised loss s. It is taken where the places that it
    chooses have a smaller mean loss than those of the average map, by so many standard errors.

    Args:
        average, own: (B, L) maps of held-out images, infinite where a place must not be taken.
        realised: (B, L) loss in nats after a glimpse at each place.
        errors: standard errors.

    >>> own = torch.tensor([[0., 1.], [1., 0.]] * 9)
    >>> choose_weight(torch.tensor([[0., .1]] * 18), own, own)
    1.0
    """
    weight = _regressed_weight(average, own, realised)
    losses = [realised.gather(1, shrunk(average, own, w).argmin(1, keepdim=True)) for w in (0.0, weight)]
    gain = (losses[0] - losses[1]).double()
    if len(gain) == 1:
        return 0.0  # of a single image nobody knows how far it is from the next
    error = float(gain.std()) / len(gain) ** 0.5
    return weight if float(gain.mean()) > errors * error else 0.0


def _regressed_weight(average: Tensor, own: Tensor, realised: Tensor) -> float:
    """Share of the own map in the non-negative least-squares fit; 0 where neither map tells anything."""
    maps = [contrasts(part, average.isfinite()).flatten() for part in (average, own, realised)]
    design, true = torch.stack(maps[:2], 1), maps[2]
    gram = (design.T @ design + TINY * torch.eye(2, device=design.device)).cpu().numpy()
    root = np.linalg.cholesky(gram).T  # ||root b - root^-T moment|| has the same minimum, in two numbers
    fixed, adaptive = nnls(root, np.linalg.solve(root.T, (design.T @ true).cpu().numpy()))[0]
    return round(float(adaptive / (fixed + adaptive)), DIGITS) if adaptive > 0 else 0.0


def shrunk(average: Tensor, own: Tensor, weight: float) -> Tensor:
    """(1 - w) average + w own; infinities of `average` stay."""
    return torch.where(average.isinf(), average, (1 - weight) * average + weight * own)
