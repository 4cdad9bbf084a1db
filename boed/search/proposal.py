"""Where a label shows: a closed-form map of informative places, and a codebook drawn from it.

For every candidate location a ridge regression from the coarsely pooled glimpse to the one-hot label.
It needs no training loop, and tells where the glimpses that teach the posterior should be drawn from:
uniformly random glimpses hit a mouth about once in fifty.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from boed.search.pooling import POOLED, PooledSensor
from data.dataset import Split
from data.progress import progress
from data.retina import Retina

ALIKE = 1.5  # times as wide that a square may be as another to be much like it
CHUNK = 32  # images at a time: what a core's cache and the allocator take without complaint


def ridge_information(
    split: Split,
    locations: Tensor,
    retina: Retina,
    classes: int,
    *,
    ridge: float = 1.0,
    rows: int = 2000,
    labels: Tensor | None = None,
    pooled: int = POOLED,
) -> Tensor:
    r"""Held-out Gaussian information of a linear read-out of the glimpse at each location, in nats.

    $I(l) = -\tfrac12 \sum_k \log(\mathrm{SSE}_k(l) / \mathrm{SST}_k)$, clipped at 0, by two-fold
    cross-fitting on the normal equations alone: the images are read once. A class that no image has, or that
    all have, tells nothing. Several targets share the Gram matrices, so that forty cost hardly more than one.

    Args:
        split: images and labels.
        locations: (L, 3) candidates, of any sides.
        retina: the sensor; each glimpse is pooled to `pooled` x `pooled`.
        classes: K.
        ridge: penalty, in units of one observation of unit variance.
        rows: at most this many images are used, evenly spread.
        labels: (N,) or (N, A), in the place of the split's: A targets of K classes each.
        pooled: see `boed.search.pooling.pooled_to`.

    Returns:
        (L,) nats, >= 0; (L, A) for labels (N, A).
    """
    labels = split.labels if labels is None else labels
    index = torch.linspace(0, len(split) - 1, min(rows, len(split))).long()
    shuffle = torch.randperm(len(index), generator=torch.Generator().manual_seed(0))
    index = index[shuffle].to(split.labels.device)  # folds must not follow an order of the labels
    targets = one_hot(labels[index].view(len(index), -1), classes).flatten(1).float()  # (N, A*K)
    varies = targets.amin(0) < targets.amax(0)  # the sum of squares of the others is rounding
    targets = targets - targets.mean(0)
    locations, sides = locations.to(index.device), locations[:, 2].tolist()
    error = targets.new_empty(len(locations), targets.shape[1])
    for side in dict.fromkeys(sides):
        here = locations[:, 2] == side
        sensor = PooledSensor(retina, locations[here], pooled)
        folds = [_normal_equations(split, index[f::2], targets[f::2], sensor) for f in (0, 1)]
        error[here] = sum(_held_out_error(fit, held, ridge) for fit, held in (folds, folds[::-1]))
    total = targets.square().sum(0)
    share = torch.where(varies, error / total, 1.0)
    explained = -0.5 * share.clamp(1e-6, 1).log()  # (L, A*K)
    return explained.view(-1, *labels.shape[1:], classes).sum(-1)


def _normal_equations(
    split: Split, index: Tensor, targets: Tensor, sensor: PooledSensor
) -> tuple[Tensor, Tensor, Tensor]:
    """X'X (L, D, D), X'y (L, D, A*K) and y'y (A*K,) of the pooled glimpses at every location."""
    gram = moment = torch.zeros((), device=index.device)
    size = CHUNK * max(1, sensor.pooled // POOLED) ** 2  # large Gram matrices are passed through less often
    chunks = zip(index.split(size), targets.split(size), strict=True)
    for rows, target in progress(chunks, total=math.ceil(len(index) / size), desc="informative places"):
        design = sensor(split.images[rows])  # (L, D, B)
        gram = gram + design @ design.transpose(1, 2)
        moment = moment + design @ target
    return gram, moment, targets.square().sum(0)


def _held_out_error(
    fit: tuple[Tensor, Tensor, Tensor], held: tuple[Tensor, Tensor, Tensor], ridge: float
) -> Tensor:
    """(L, A*K) squared error on `held` of the ridge solution of `fit`."""
    penalty = ridge * torch.eye(fit[0].shape[-1], device=fit[0].device)
    weights = torch.linalg.solve(fit[0] + penalty, fit[1])  # (L, D, A*K)
    gram, moment, square = held
    return square - 2 * (weights * moment).sum(1) + (weights * (gram @ weights)).sum(1)


def separation(locations: Tensor, others: Tensor) -> Tensor:
    """(L, L') how far the centres of places (L, 3) are from those of others (L', 3), in sides of the others.

    It is taken along the axis on which it is larger, and infinite between squares of quite another side.

    >>> separation(torch.tensor([[0, 1, 4], [0, 0, 8]]), torch.tensor([[0, 3, 4]])).tolist()
    [[0.5], [inf]]
    """
    centres, others_centres = (each[:, :2] + each[:, 2:] / 2 for each in (locations, others))
    distance = (centres[:, None] - others_centres).abs().amax(-1) / others[:, 2]
    ratio = locations[:, None, 2] / others[:, 2]
    return distance.masked_fill((ratio >= ALIKE) | (ratio <= 1 / ALIKE), torch.inf)


def choose_places(information: Tensor, locations: Tensor, count: int, spacing: float | Tensor) -> Tensor:
    """Indices (<= count,) of the most informative places that keep `spacing` apart, best first.

    Args:
        information: (L,) of each.
        locations: (L, 3).
        count: at most so many.
        spacing: as `separation` has it, a number or (L,) from each. Squares of quite another side show
            something else, and may lie anywhere.

    >>> places = torch.tensor([[0, 0, 4], [0, 1, 4], [0, 9, 4], [0, 0, 8]])
    >>> choose_places(torch.tensor([4.0, 3.0, 2.0, 1.0]), places, count=3, spacing=1.0).tolist()
    [0, 2, 3]
    """
    remaining, apart = information.clone(), torch.as_tensor(spacing).expand(len(locations))
    chosen: list[int] = []
    while len(chosen) < count and bool(remaining.isfinite().any()):
        best = int(remaining.argmax())
        chosen.append(best)
        remaining[separation(locations, locations[best : best + 1])[:, 0] < apart[best]] = -torch.inf
        remaining[best] = -torch.inf
    return torch.tensor(chosen)
