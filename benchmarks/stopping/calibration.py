r"""A predicted gain of accuracy that is calibrated on validation images: the rule `calibrated`.

The heads learn what a glimpse gains on training images, of which a network is surer than of others, and look
one glimpse ahead. Here, for each number of glimpses t, a ridge regression $\hat g_t = w_t \cdot \phi_t$ says
how much likelier the right class will be after all T glimpses, $q_T(\theta) - q_t(\theta)$, of what a network
says after t: its doubt and entropy, both heads, and how far its prediction has moved. One regression serves
the networks of all attributes and seeds. Validation images are scored by the regression on the others of five
parts, so that thresholds are chosen on images it has not learned.

Shapes: N images, T glimpses, K classes, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.stopping.outcomes import Looked, Network
from benchmarks.stopping.rules import CALIBRATED, HALTING
from hardattn.stopping.rules import Predictions

HEADS = ("gain", "accuracy_gain")
RIDGE, FOLDS = 3.0, 5


def calibrated(networks: Sequence[Network]) -> list[Network]:
    """The networks, of which those that rules stop say one thing more, where they have both heads."""
    able = [its.valid for its in networks if _is_able(its.valid)]
    if not able:
        return list(networks)
    weights, folds = fitted(able, None), [fitted(able, fold) for fold in range(FOLDS)]
    return [_with_score(its, weights, folds) if _is_able(its.valid) else its for its in networks]


def _is_able(looked: Looked) -> bool:
    said = looked.predictions.said.keys()
    return looked.steps > 1 and set(HEADS) <= said and HALTING not in said


def _with_score(network: Network, weights: Tensor, folds: Sequence[Tensor]) -> Network:
    """What it says by the regression on all validation images, of these by that on the others."""
    each = torch.stack([scored(network.valid, fold) for fold in folds])  # (folds, N, T)
    own = each[fold_of(network.valid), torch.arange(each.shape[1])]
    test = _saying(network.test, scored(network.test, weights))
    return replace(network, valid=_saying(network.valid, own), test=test)


def _saying(looked: Looked, values: Tensor) -> Looked:
    """With the score among what is said, at the cost of both heads."""
    said = {**looked.predictions.said, CALIBRATED: values}
    heads = {**looked.costs.heads, CALIBRATED: sum(looked.costs.heads.get(head, 0.0) for head in HEADS)}
    predictions = Predictions(looked.predictions.log_probs, said)
    return replace(looked, predictions=predictions, costs=replace(looked.costs, heads=heads))


def fitted(valid: Sequence[Looked], held_out: int | None) -> Tensor:
    """(T - 1, F) weights after each number of glimpses below T, without the images of one part."""
    kept = [fold_of(its) != (-1 if held_out is None else held_out) for its in valid]
    known = torch.cat([features(its)[rows] for its, rows in zip(valid, kept, strict=True)])  # (N, T - 1, F)
    rise = torch.cat([gained(its)[rows] for its, rows in zip(valid, kept, strict=True)])  # (N, T - 1)
    gram = torch.einsum("ntf,ntg->tfg", known, known) + RIDGE * torch.eye(known.shape[2], dtype=known.dtype)
    weights: Tensor = torch.linalg.solve(gram, torch.einsum("ntf,nt->tf", known, rise))
    return weights


def scored(looked: Looked, weights: Tensor) -> Tensor:
    """(N, T) before each glimpse."""
    values = torch.einsum("ntf,tf->nt", features(looked), weights)
    return torch.cat([torch.zeros_like(values[:, :1]), values], 1)


def fold_of(looked: Looked) -> Tensor:
    """(N,) the part of each image; versions of one original are in the same."""
    return looked.originals % FOLDS


def features(looked: Looked) -> Tensor:
    """(N, T - 1, F) of what is said after each number of glimpses below T."""
    chances = looked.predictions.log_probs.double().exp()
    moved = torch.cat([torch.zeros_like(chances[:, :1]), chances.diff(dim=1)], 1).abs().sum(-1)
    doubt, entropy = 1 - chances.amax(-1), torch.special.entr(chances).sum(-1)
    gain, rise = (looked.predictions.said[head].double().roll(-1, 1) for head in HEADS)  # after, not before
    found = (torch.ones_like(doubt), doubt, doubt**2, entropy, gain, rise, moved, gain * doubt)
    return torch.stack(found, -1)[:, :-1]


def gained(looked: Looked) -> Tensor:
    """(N, T - 1) by how much likelier the label is after all T glimpses."""
    rows = looked.labels[:, None, None].expand(-1, looked.steps, 1)
    right = looked.predictions.log_probs.double().exp().gather(2, rows).squeeze(2)
    return right[:, -1:] - right[:, :-1]
