"""Samples of images in which all classes are as frequent: so that a rare one is learned as well."""

from __future__ import annotations

import torch
from torch import Tensor

from data.dataset import Split
from data.errors import NoImagesError


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


def thinned(labels: Tensor, most: int | None = None) -> Tensor:
    """(M,) rows in which every class is as frequent as the rarest, none twice; about `most` of them at most.

    >>> thinned(torch.tensor([0, 0, 1, 0, 0])).tolist()
    [0, 2]
    """
    counts = labels.bincount()
    counts = counts[counts > 0]
    each = int(counts.min())
    return balanced(labels, each if most is None else max(1, min(each, most // len(counts))))


def distinct(bank: Split, most: int, one_in: int = 1) -> Tensor:
    """(M,) rows of a balanced bank, thinned, no image twice, of a share of the originals of each class.

    Args:
        bank: whose copies of an image follow each other.
        most: rows.
        one_in: of how many originals one is taken, with all its versions.
    """
    ids, originals = bank.ids.cpu(), bank.originals
    rows = torch.cat([ids.new_ones(1), ids.diff()]).nonzero().view(-1)
    labels = bank.labels.cpu()[rows]
    names = [originals[rows[labels == label]].unique()[::one_in] for label in labels.unique()]
    rows = rows[torch.isin(originals[rows], torch.cat(names))]
    return rows[thinned(bank.labels.cpu()[rows], most)].to(bank.ids.device)


def require_every_class(labels: Tensor, classes: int, where: str) -> None:
    """Raises NoImagesError where a class has no image: then no sample is balanced."""
    missing = classes - len(labels.unique())
    if missing:
        raise NoImagesError(
            f"expected images of all {classes} classes for balanced classes, found none of {missing} in "
            f"{where}; add images, or leave --balanced out"
        )


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
