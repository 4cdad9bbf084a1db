"""Figures of ways to stop on labelled images, with bootstrap intervals over the images.

Shapes: B images, K classes, P ways to stop, R resamples of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from data.measures import Measure, calibration_measure, mean_measure
from data.readout import READ
from hardattn.stopping.rules import Stops

MEASURED = ("balanced_accuracy", "calibration_error", *READ)
"""Fields of `hardattn.stopping.rules.Point` that are measured here and not with the brief ones."""


@dataclass(frozen=True)
class Outcome:
    """What a way to stop makes of each of B images.

    Attributes:
        stops: glimpses taken, and the prediction after them.
        mflops: (B,) spent; a multiply-add is 2.
        read: (B,) each of `data.readout.READ`; none: they are not known, of all outcomes.
    """

    stops: Stops
    mflops: Tensor
    read: Mapping[str, Tensor] = field(default_factory=dict)


def right_at(stops: Stops, labels: Tensor) -> Tensor:
    """(B,) 1.0 where the likeliest class is the label (B,), else 0.0."""
    return (stops.log_probs.argmax(1) == labels).double()


def figures(outcomes: Sequence[Outcome], labels: Tensor, counts: np.ndarray) -> list[dict[str, Any]]:
    """Of each outcome those of `MEASURED` that are known, and the intervals of these and of the brief ones.

    All outcomes are resampled alike, so that their differences are paired.

    Args:
        outcomes: P of the same images.
        labels: (B,).
        counts: (R, B) how often each image is in each resample, see `data.measures.resampling`.
    """
    if not outcomes:
        return []
    right = torch.stack([right_at(its.stops, labels) for its in outcomes])  # (P, B)
    sure = torch.stack([its.stops.log_probs.double().exp().amax(1) for its in outcomes])
    columns = [_columns(its, labels) for its in outcomes]
    means = mean_measure(torch.stack([torch.stack([*its.values()], 1) for its in columns]), counts)
    calibration = calibration_measure(sure.T[None], right.T[None], counts)  # (1, P)
    measures = {name: _column(means, at) for at, name in enumerate(columns[0])}
    measures |= {"balanced_accuracy": balanced_measure(right, labels, counts)}
    measures |= {"calibration_error": calibration.at(0)}
    ends = {name: np.stack(one.interval(), 1).tolist() for name, one in measures.items()}  # (P, 2) each
    return [
        {name: float(measures[name].value[at]) for name in MEASURED if name in measures}
        | {"intervals": {name: pairs[at] for name, pairs in ends.items()}}
        for at in range(len(outcomes))
    ]


def balanced_measure(right: Tensor, labels: Tensor, counts: np.ndarray) -> Measure:
    r"""Balanced accuracy of P ways to predict: a measure (P,).

    $\frac1K \sum_k \frac1{|k|} \sum_{b \in k} \mathrm{right}_b$ over the K classes that there are; those that
    a resample lacks are left out of its mean.

    Args:
        right: (P, B) 1 or 0.
        labels: (B,).
        counts: see `figures`.
    """
    array, names = right.double().cpu().numpy(), labels.cpu().numpy()
    classes = np.unique(names)
    recall = np.stack([array[:, names == name].mean(1) for name in classes])
    total, met = np.zeros((len(counts), len(array))), np.zeros((len(counts), 1))
    for name in classes:
        own = counts[:, names == name]
        drawn = own.sum(1, keepdims=True)
        total += own @ array[:, names == name].T / drawn.clip(min=1)
        met += drawn > 0
    return Measure(recall.mean(0), total / met)


def _columns(its: Outcome, labels: Tensor) -> dict[str, Tensor]:
    """Name -> (B,) of what is a mean over images; what was read where that is known."""
    nll = nll_loss(its.stops.log_probs, labels, reduction="none")
    known = {
        "mean_glimpses": its.stops.taken,
        "mflops": its.mflops,
        "accuracy": right_at(its.stops, labels),
        "nll": nll,
    }
    return {name: values.double() for name, values in {**known, **its.read}.items()}


def _column(measure: Measure, at: int) -> Measure:
    """(P,) one of several figures (P, ...)."""
    return Measure(measure.value[:, at], measure.samples[..., at])
