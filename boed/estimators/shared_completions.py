"""Expected scores of many images under completions of their own, each completion of an image scored once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from boed.estimators.bank import Bank
from boed.estimators.epe import candidate_scores, weighted_mean

IMAGES = 32  # whose scores are held at a time
CACHED_VALUES = 2**20  # of statistics that go through q at a time: what stays in a core's cache


def expected_under_draws(bank: Bank, totals: Tensor, drawn: Tensor, count: int, score: str) -> Tensor:
    r"""Mean score of every place over N completions of each image.

    $\widehat{\mathrm{EPE}}(l) = \frac1N \sum_n s(\theta_n, y_{\le t}, y_{nl})$

    The (image, completion) pairs go through q side by side, in blocks of one shape: what rounding does to a
    pair follows from neither the images beside it nor their number.

    Args:
        bank: whose images complete.
        totals: (B, D) combined statistics of each image's history.
        drawn: (B, N) rows of the bank.
        count: number of glimpses after the candidate.
        score: "cross-entropy" or "entropy", see `boed.estimators.epe`.

    Returns:
        (B, L) nats, in double precision.
    """
    groups = zip(totals.float().split(IMAGES), drawn.split(IMAGES), strict=True)
    return torch.cat([_group(bank, some, its, count, score) for some, its in groups])


def _group(bank: Bank, totals: Tensor, drawn: Tensor, count: int, score: str) -> Tensor:
    """(B, L) of a few images."""
    first = len(bank) * torch.arange(len(drawn), device=drawn.device)
    pairs, times = torch.unique(drawn + first[:, None], return_counts=True)
    images, rows = pairs // len(bank), pairs % len(bank)
    scores = torch.cat(list(_pair_scores(bank, totals, images, rows, count, score)))[: len(pairs)]
    shares = times.double() / drawn.shape[1]
    lengths = torch.bincount(images, minlength=len(drawn)).tolist()
    parts = zip(shares.split(lengths), scores.split(lengths), strict=True)
    return torch.cat([weighted_mean(its[None], own[None]) for own, its in parts])


def _pair_scores(
    bank: Bank, totals: Tensor, images: Tensor, rows: Tensor, count: int, score: str
) -> Iterator[Tensor]:
    """(P', L) of pairs: an image (P,) and a row of the bank (P,); block by block, the last one filled."""
    size = max(1, CACHED_VALUES // (len(bank.places) * bank.width))
    missing = -len(rows) % size
    blocks = zip(pad(images, (0, missing)).split(size), pad(rows, (0, missing)).split(size), strict=True)
    for some, completing in blocks:
        after = bank.q.combine_(bank.statistics(completing), totals[some, None])
        yield candidate_scores(bank.q.logits(after, count), bank.labels[completing], score)
