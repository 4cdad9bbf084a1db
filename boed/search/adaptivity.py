"""How far a design may leave the fixed order, step by step, and what its values mean, on images of the bank."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.estimators.calibration import Calibration, calibration_of
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
    """For every step the weight of an image's own map, and how the mixed map is read in nats."""

    weights: tuple[float, ...]
    calibrations: tuple[Calibration, ...]


def sample(count: int, wanted: int, device: torch.device | str = "cpu") -> Tensor:
    """About `wanted` of `count` rows, evenly spread."""
    return torch.arange(0, count, math.ceil(count / wanted), device=device)


def affordable(learned: Approximations, wanted: int) -> int:
    """How many images to design for when something is estimated: fewer where maps are dear, or if asked."""
    wanted = min(wanted, learned.settings.trial_images or wanted)
    cheap = learned.estimator is not None or (learned.generator is None and learned.embedded().kept)
    return wanted if cheap else min(wanted, FEW_IMAGES)


@torch.no_grad()
def estimate_adaptivity(
    learned: Approximations,
    seed: int,
    *,
    images: int | None = None,
    rows: Tensor | None = None,
    errors: float = ERRORS,
) -> Adaptivity:
    """Weights with the lowest realised cross-entropy, and calibrations, along the design's own histories.

    A weight is 0 unless another is better beyond noise (see `boed.search.shrinkage.choose_weight`); what the
    map with that weight says is then calibrated (see `boed.estimators.calibration`).

    Bank images, each left out of its own completions and of the average maps that it is compared by, are
    designed for with every weight; the one whose choices do best on their true labels is taken, and the next
    step follows from it. The first map is the average over the bank, the same for all images: it says what it
    means.

    Args:
        learned: q, r and estimator.
        seed: of the completions.
        images: about how many bank images to design for; default as many as an estimate needs.
        rows: (B,) these images of the bank, of which the estimator must know nothing.
        errors: see `boed.search.shrinkage.choose_weight`.
    """
    if rows is None:
        pairs = TOGETHER_PLACES if learned.settings.together else IMAGE_PLACES
        wanted = images or max(FEW_IMAGES, pairs // len(learned.places))
        rows = sample(len(learned.bank), affordable(learned, wanted), learned.bank.ids.device)
    designer = Designer(learned)
    excluded = learned.versions(learned.bank, rows)
    history = History(designer, learned.bank, rows, seed=seed, excluded=excluded)
    folds = _halves(learned.bank.take(rows).originals).to(rows.device)
    weights, calibrations = list[float](), list[Calibration]()
    for step in progress(range(learned.glimpses), desc="weigh own maps", unit="glimpse"):
        realised, average, own = _realised(designer, history, rows), history.average_map(), history.own_map()
        of_others = _of_others(designer, history, rows, average) if step else average
        weights.append(choose_weight(of_others, own, realised, errors))
        crossed = _cross_fitted(of_others, own, realised, folds, errors)
        read = calibration_of(crossed, realised, history.predictive_entropy()) if step else Calibration()
        calibrations.append(read)
        history.leave_order(weights[-1])
        history.look(history.best(shrunk(average, own, weights[-1])))
    return Adaptivity(tuple(weights), tuple(calibrations))


def _of_others(designer: Designer, history: History, rows: Tensor, average: Tensor) -> Tensor:
    """(B, L) averages in which bank images themselves have no part: they would tell their own labels."""
    maps = designer.common_average if history.common else designer.average
    return maps.without(rows, average, _realised(designer, history, rows, designer.score))


def _halves(originals: Tensor) -> Tensor:
    """(B,) bool: one half of the originals (B,), whose versions stay together."""
    return originals.unique(return_inverse=True)[1] % 2 == 0


def _cross_fitted(average: Tensor, own: Tensor, realised: Tensor, half: Tensor, errors: float) -> Tensor:
    """(B, L) maps, each mixed with the weight that is chosen on the other half (B,) of the images.

    So that no image has had a say in what chooses for it: the best of several weights looks better on the
    images that it was chosen on than it is.
    """
    mixed = torch.empty_like(average)
    for here, other in ((half, ~half), (~half, half)):
        some = other if bool(other.any()) else here  # a single original has no other half
        weight = choose_weight(average[some], own[some], realised[some], errors)
        mixed[here] = shrunk(average[here], own[here], weight)
    return mixed


def _realised(designer: Designer, history: History, rows: Tensor, score: str = SCORE) -> Tensor:
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
