"""Where a label shows: a closed-form map of informative places, and a codebook drawn from it.

For every candidate location a ridge regression from the coarsely pooled glimpse to the one-hot label.
It needs no training loop, and tells where the glimpses that teach the posterior should be drawn from:
uniformly random glimpses hit a mouth about once in fifty.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, one_hot
from tqdm import tqdm

from data.dataset import Split
from data.retina import Retina

CHUNK = 100
POOLED = 4


def ridge_information(
    split: Split, locations: Tensor, retina: Retina, classes: int, *, ridge: float = 1.0, rows: int = 2000
) -> Tensor:
    r"""Held-out Gaussian information of a linear read-out of the glimpse at each location, in nats.

    $I(l) = -\tfrac12 \sum_k \log(\mathrm{SSE}_k(l) / \mathrm{SST}_k)$, clipped at 0, by two-fold
    cross-fitting on the normal equations alone: the images are read once.

    Args:
        split: images and labels.
        locations: (L, 2) candidates.
        retina: the sensor; each glimpse is pooled to 4 x 4.
        classes: K.
        ridge: penalty, in units of one observation of unit variance.
        rows: at most this many images are used, evenly spread.

    Returns:
        (L,) nats, >= 0.
    """
    index = torch.linspace(0, len(split) - 1, min(rows, len(split))).long()
    shuffle = torch.randperm(len(index), generator=torch.Generator().manual_seed(0))
    index = index[shuffle].to(split.labels.device)  # folds must not follow an order of the labels
    targets = one_hot(split.labels[index], classes).float()
    targets = targets - targets.mean(0)
    folds = [_normal_equations(split, index[f::2], targets[f::2], locations, retina) for f in (0, 1)]
    error = sum(_held_out_error(fit, held, ridge) for fit, held in (folds, folds[::-1]))
    total = targets.square().sum(0).clamp(min=1e-12)
    return (-0.5 * (error / total).clamp(1e-6, 1).log()).sum(-1)  # (L, K) -> (L,)


def _normal_equations(
    split: Split, index: Tensor, targets: Tensor, locations: Tensor, retina: Retina
) -> tuple[Tensor, Tensor, Tensor]:
    """X'X (L, D, D), X'y (L, D, K) and y'y (K,) of the pooled glimpses at every location."""
    gram = moment = torch.zeros((), device=index.device)
    chunks = zip(index.split(CHUNK), targets.split(CHUNK), strict=True)
    for rows, target in tqdm(chunks, total=math.ceil(len(index) / CHUNK), desc="informative places"):
        places = locations.to(index.device).expand(len(rows), -1, -1)
        glimpses = retina(split.images, rows, places)  # (B, L, S*C, G, G)
        pooled = adaptive_avg_pool2d(glimpses.flatten(0, 1), POOLED).view(len(rows), len(locations), -1)
        design = torch.cat([pooled - 0.5, torch.ones_like(pooled[..., :1])], -1).transpose(0, 1)  # (L, B, D)
        gram = gram + design.transpose(1, 2) @ design
        moment = moment + design.transpose(1, 2) @ target
    return gram, moment, targets.square().sum(0)


def _held_out_error(
    fit: tuple[Tensor, Tensor, Tensor], held: tuple[Tensor, Tensor, Tensor], ridge: float
) -> Tensor:
    """(L, K) squared error on `held` of the ridge solution of `fit`."""
    penalty = ridge * torch.eye(fit[0].shape[-1], device=fit[0].device)
    weights = torch.linalg.solve(fit[0] + penalty, fit[1])  # (L, D, K)
    gram, moment, square = held
    return square - 2 * (weights * moment).sum(1) + (weights * (gram @ weights)).sum(1)


def choose_places(information: Tensor, locations: Tensor, count: int, spacing: float) -> Tensor:
    """Indices (<= count,) of the most informative locations that keep `spacing` pixels apart, best first.

    >>> choose_places(torch.tensor([3., 2., 1.]), torch.tensor([[0, 0], [0, 1], [0, 9]]), 2, 4.0).tolist()
    [0, 2]
    """
    remaining = information.clone()
    chosen: list[int] = []
    while len(chosen) < count and bool(remaining.isfinite().any()):
        best = int(remaining.argmax())
        chosen.append(best)
        distance = (locations - locations[best]).abs().amax(-1)
        remaining[distance < spacing] = -torch.inf
        remaining[best] = -torch.inf
    return torch.tensor(chosen)
