"""A network on the whole image that says the class after each of its stages, and stops when it is sure.

As in BranchyNet (Teerapittayanon et al. 2016, arXiv 1709.01686), by the confidence instead of the entropy.
Shapes: B images, C channels, E exits, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from hardattn.baselines.layers import LAST_SIDE, Baseline, Image, centred, scaled
from hardattn.baselines.registry import BASELINES
from hardattn.model.convolutions import convolution
from hardattn.stopping.curve import stopped_at
from hardattn.stopping.figures import Outcome, figures, right_at
from hardattn.stopping.flops import mflops
from hardattn.stopping.rules import Point, Stops

STAGES = (16, 32, 64)
CONFIDENCES = 15


class EarlyExit(Baseline):
    """Stages f_1, f_2, ..., with a classifier after each: logits_e = c_e(f_e(... f_1(x'))).

    All are trained together, by the mean of their cross-entropies. An image leaves at the first exit whose
    largest probability is above a threshold, and at the last one at any.

    Args:
        stages, classifiers: E of each.

    >>> network = early_exit((3, 32, 32), 2)
    >>> network.exits, network.at_exits(torch.zeros(5, 3, 32, 32)).shape
    (3, torch.Size([5, 3, 2]))
    """

    def __init__(self, stages: list[nn.Module], classifiers: list[nn.Module]) -> None:
        super().__init__()
        self.stages, self.classifiers = nn.ModuleList(stages), nn.ModuleList(classifiers)
        self.exits = len(stages)

    def forward(self, images: Tensor) -> Tensor:
        return self.at_exits(images)[:, -1]

    def at_exits(self, images: Tensor, count: int | None = None) -> Tensor:
        maps, logits = centred(images), list[Tensor]()
        for stage, classifier in list(zip(self.stages, self.classifiers, strict=True))[:count]:
            maps = stage(maps)
            logits.append(classifier(maps))
        return torch.stack(logits, 1)


@BASELINES.register("early-exit")
def early_exit(image: Image, classes: int, *, width: float = 1.0) -> EarlyExit:
    """The plain network `cnn` with exits: 3 x 3 convolutions of stride 2 until the map has at most 4 a side.

    They have 16, 32, 64, 64, ... channels times `width`. A classifier is a linear layer on the map, averaged
    down to 4 x 4 where it is larger.
    """
    inputs, side = image[0], max(image[1:])
    stages, classifiers = list[nn.Module](), list[nn.Module]()
    while side > LAST_SIDE or not stages:
        outputs = scaled(STAGES[min(len(stages), len(STAGES) - 1)], width)
        stages.append(nn.Sequential(*convolution(inputs, outputs, 2), nn.ReLU()))
        inputs, side = outputs, math.ceil(side / 2)
        kept = min(side, LAST_SIDE)
        dense = nn.Linear(outputs * kept * kept, classes)
        classifiers.append(nn.Sequential(nn.AdaptiveAvgPool2d(kept), nn.Flatten(), dense))
    return EarlyExit(stages, classifiers)


def exit_costs(network: Baseline, image: Image) -> list[float]:
    """MFLOPs of an image that leaves at each exit: of all stages and classifiers up to there.

    >>> [round(cost, 3) for cost in exit_costs(early_exit((3, 32, 32), 2).eval(), (3, 32, 32))]
    [0.222, 0.814, 1.408]
    """
    blank = torch.zeros(1, *image, device=network.device)
    return [mflops(partial(network.at_exits, count=count), blank) for count in range(1, network.exits + 1)]


def confidence(logits: Tensor) -> Tensor:
    """Largest probability of a class, (..., K) -> (...)."""
    return logits.float().softmax(-1).amax(-1)


def confidence_thresholds(logits: Tensor, count: int = CONFIDENCES) -> list[float]:
    """Thresholds that spread the leaving over (B, E, K) validation logits: quantiles of the confidence.

    They are of all exits but the last, at which every image leaves anyway.
    """
    sure = confidence(logits[:, :-1]).double().flatten()
    if len(sure) == 0:
        return []
    return torch.quantile(sure, torch.linspace(0, 1, count, dtype=torch.float64)).unique().tolist()


def exits_taken(logits: Tensor, threshold: float) -> Tensor:
    """(B,) at which exit, from 1 on, each image leaves.

    >>> logits = torch.tensor([[[9.0, 0.0], [0.0, 9.0]], [[1.0, 0.0], [0.0, 9.0]]])
    >>> exits_taken(logits, 0.9).tolist()
    [1, 2]
    """
    goes_on = (confidence(logits[:, :-1]) <= threshold).long().cumprod(1)
    return 1 + goes_on.sum(1)


def exit_curve(
    logits: Tensor,
    labels: Tensor,
    costs: Sequence[float],
    thresholds: Sequence[float],
    counts: np.ndarray,
    read: Mapping[str, int] | None = None,
) -> list[Point]:
    """Figures against compute: all images at the last exit, at each other one, by their confidence.

    The rules are called "fixed", "exit" and "confidence"; the threshold of "exit" is the number of the exit.
    The whole image is one glimpse, wherever it leaves; `stopped_at` counts those that leave at each exit.

    Args:
        logits: (B, E, K).
        labels: (B,).
        costs: MFLOPs up to each exit.
        thresholds: of the confidence.
        counts: (R, B) how often each image is in each resample, see `data.measures.resampling`.
        read: of an image, each of `data.readout.READ`; None: not known.
    """
    last, taken = logits.shape[1], ways_out(logits, thresholds)
    left = [left_at(logits, exits, costs, read) for *_, exits in taken]
    measured = zip(taken, left, figures(left, labels, counts), strict=True)
    return [
        replace(_brief(rule, value, its, labels), stopped_at=stopped_at(exits, last), **known)
        for (rule, value, exits), its, known in measured
    ]


def ways_out(logits: Tensor, thresholds: Sequence[float]) -> list[tuple[str, float, Tensor]]:
    """(rule, threshold, exit (B,) that each image takes) of every way of `exit_curve`."""
    count, last = logits.shape[:2]
    numbered = [("fixed", 1.0, last), *(("exit", float(number), number) for number in range(1, last))]
    taken = [(rule, value, torch.full((count,), number)) for rule, value, number in numbered]
    return taken + [("confidence", value, exits_taken(logits, value)) for value in thresholds]


def left_at(
    logits: Tensor, exits: Tensor, costs: Sequence[float], read: Mapping[str, int] | None = None
) -> Outcome:
    """One glimpse at images that leave at exits (B,), of logits (B, E, K) at all of them."""
    log_probs = logits[torch.arange(len(exits)), exits - 1].float().log_softmax(-1)
    spent = torch.tensor(costs, dtype=torch.float64)[exits - 1]
    counts = {name: torch.full_like(exits, count) for name, count in (read or {}).items()}
    return Outcome(Stops(torch.ones_like(exits), log_probs), spent, counts)


def _brief(rule: str, threshold: float, left: Outcome, labels: Tensor) -> Point:
    return Point(
        rule=rule,
        threshold=threshold,
        mean_glimpses=1.0,
        mflops=left.mflops.mean().item(),
        accuracy=right_at(left.stops, labels).mean().item(),
        nll=nll_loss(left.stops.log_probs, labels).item(),
    )
