"""Samples of images in which all classes are as frequent: so that a rare one is learned as well."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced(labels: Tensor, each: int | None = None) -> Tensor:
    r"""Rows in which every class that is there is as frequent, evenly spread over its images.

    Of a joint model whose labels have the prior 1/K they are draws: p(image | label) stays what it is, so its
    posterior is $q(\theta \mid y) \propto p(\theta \mid y) / p(\theta)$ (Saerens, Latinne and Decaestecker
    2002, equation 2.4).

    Args:
        labels: (N,) classes.
        each: rows of a class; where it has fewer images they are repeated, where it has more some are left
            out. Default those of the most frequent class.

    Returns:
        (M,) int64 rows, not falling.

    >>> balanced(torch.tensor([0, 0, 1, 0, 0])).tolist(), balanced(torch.tensor([0, 0, 1, 0, 0]), 1).tolist()
    ([0, 1, 2, 2, 2, 2, 3, 4], [0, 2])
    """
    counts = labels.bincount()
    each = int(counts.max()) if each is None else each
    rows = [(labels == label).nonzero().view(-1) for label in counts.nonzero().view(-1)]
    # the i-th of `each` rows lies at the same share of the n images of the class
    spread = torch.arange(each, device=labels.device)
    return torch.cat([its[spread * len(its) // each] for its in rows]).sort().values


def thinned(labels: Tensor) -> Tensor:
    """(M,) rows in which every class is as frequent as the rarest, none of them twice.

    >>> thinned(torch.tensor([0, 0, 1, 0, 0])).tolist()
    [0, 2]
    """
    counts = labels.bincount()
    return balanced(labels, int(counts[counts > 0].min()))


def shift(labels: Tensor, rows: Tensor, classes: int) -> Tensor:
    r"""(K,) $\log \tilde p(\theta) - \log p(\theta)$ of the labels (N,) in `rows` (M,), and of all of them.

    Logits of $p(\theta \mid y)$ with this added are of the posterior among what is drawn; so a posterior is
    learned from balanced draws that is true of all images ("logit adjustment", Menon et al. 2021, arXiv
    2007.07314, section 4). 0 for a class that has no images.

    >>> labels = torch.tensor([0, 0, 1, 0, 0])
    >>> shift(labels, balanced(labels), 2).exp().tolist()
    [0.625, 2.5]
    """
    drawn, there = (its.bincount(minlength=classes) / len(its) for its in (labels[rows], labels))
    return (drawn / there).log().nan_to_num()
