"""How far a design may leave the fixed order: chosen step by step on images that q has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from boed.approximations import TARGETS, Approximations
from boed.estimators.bank_belief import BankBelief
from boed.estimators.epe import candidate_scores
from boed.search.designer import Designer, History
from boed.search.shrinkage import ERRORS, choose_weight, shrunk
from data.progress import progress

IMAGE_PLACES = 100_000  # images times candidates that an estimate is made from
TOGETHER_PLACES = 40_000  # the same where there are many attributes, each with an estimate of its own
FEW_IMAGES = 100  # where every map is dear
SCORE = "cross-entropy"  # by which a choice is judged, whatever score makes the maps


@dataclass(frozen=True)
class Adaptivity:
    """For every step the weight of an image's own map, and the effective sample size behind that map."""

    weights: tuple[float, ...]
    targets: tuple[float, ...]


def sample(count: int, wanted: int, device: torch.device | str = "cpu") -> Tensor:
    """About `wanted` of `count` rows, evenly spread."""
    return torch.arange(0, count, math.ceil(count / wanted), device=device)


def affordable(learned: Approximations, wanted: int) -> int:
    """How many images to design for when something is estimated: fewer where maps are dear, or if asked."""
    wanted = min(wanted, learned.settings.trial_images or wanted)
    cheap = learned.estimator is not None or (learned.generator is None and learned.embedded().kept)
    return wanted if cheap else min(wanted, FEW_IMAGES)


def trial_rows(learned: Approximations, images: int | None = None) -> Tensor:
    """About so many bank images to design for, evenly spread; without, as many as an estimate needs."""
    pairs = TOGETHER_PLACES if learned.settings.together else IMAGE_PLACES
    wanted = images or max(FEW_IMAGES, pairs // len(learned.places))
    return sample(len(learned.bank), affordable(learned, wanted), learned.bank.ids.device)


@torch.no_grad()
def estimate_adaptivity(
    learned: Approximations, seed: int, rows: Tensor, *, errors: float = ERRORS
) -> Adaptivity:
    """Weights and sample sizes with the lowest mean realised cross-entropy, along the design's own histories.

    A weight is 0 unless another is better beyond noise (see `boed.search.shrinkage.choose_weight`).

    Bank images, each left out of its own completions and of its average map, are designed for with every
    weight and every sample size; the pair whose choices do best on their true labels is taken, and the next
    step follows from it.

    Args:
        learned: q, r and estimator.
        seed: of the completions.
        rows: (B,) bank images that neither q nor the estimator was trained on.
        errors: see `boed.search.shrinkage.choose_weight`.
    """
    designer = Designer(learned)
    history = History(designer, learned.bank, rows, seed=seed, excluded=rows)
    weights, targets = [], []
    for step in progress(range(learned.glimpses), desc="weigh own maps", unit="glimpse"):
        realised = _realised(designer, history, rows, SCORE)
        average = _average_of_others(designer, history, rows, realised)
        choices = []
        for target, own in history.own_maps(TARGETS).items():
            weight = choose_weight(average, own, realised, errors)
            choices.append((_loss(average, own, weight, realised), weight, target))
        best = min(choices)
        weights.append(best[1])
        targets.append(best[2])
        _set_target(history, step - 1, best[2])
        history.look(history.choose(best[1])[0])
    return Adaptivity(tuple(weights), (*targets[1:], targets[-1]))


def _set_target(history: History, step: int, target: float) -> None:
    if isinstance(history.belief, BankBelief) and step >= 0:
        history.belief.targets[step] = target


def _loss(average: Tensor, own: Tensor, weight: float, realised: Tensor) -> float:
    places = shrunk(average, own, weight).argmin(1, keepdim=True)
    return float(realised.gather(1, places).mean())


def _average_of_others(designer: Designer, history: History, rows: Tensor, realised: Tensor) -> Tensor:
    """(B, L) average maps of bank images in which they themselves have no part: they would tell their label.

    Before the first glimpse there is nothing to choose: the own map is the average map.
    """
    if history.count == 0:
        return history.average_map()
    maps = designer.common_average if history.common else designer.average
    own = realised if designer.score == SCORE else _realised(designer, history, rows, designer.score)
    return maps.without(rows, history.average_map(), own)


def _realised(designer: Designer, history: History, rows: Tensor, score: str) -> Tensor:
    """(B, L) score of q on the bank images themselves after one more glimpse at each place."""
    parts = [
        candidate_scores(
            designer.learned.q.logits(total.float() + designer.bank.statistics(some), history.count + 1),
            designer.bank.labels[some],
            score,
        )
        for total, some in zip(history.total[:, None].split(20), rows.split(20), strict=True)
    ]
    return torch.cat(parts)
