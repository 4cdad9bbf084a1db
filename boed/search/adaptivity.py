"""How far a design may leave the fixed order, step by step, and what its values mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boed.approximations import Approximations
from boed.estimators.calibration import Calibration, calibration_of, falling
from boed.search.balance import distinct
from boed.search.designer import Designer, History
from boed.search.shrinkage import ERRORS, choose_weight, shrunk
from data.progress import progress

IMAGE_PLACES = 150_000  # images times candidates that an estimate is made from
TOGETHER_PLACES = 100_000  # the same where there are many attributes, each with an estimate of its own
FEW_IMAGES = 100  # where every map is dear
SCORE = "cross-entropy"  # by which a choice is judged, whatever score makes the maps


@dataclass(frozen=True)
class Adaptivity:
    """For every step the weight of an image's own map, and how the mixed map is read in nats."""

    weights: tuple[float, ...]
    calibrations: tuple[Calibration, ...]


def sample(count: int, wanted: int, device: torch.device | str = "cpu") -> Tensor:
    """`wanted` of `count` rows, or all of them, evenly spread."""
    return torch.linspace(0, count - 1, min(count, wanted), dtype=torch.float64, device=device).long()


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
    """Weights of own maps, and calibrations, along the design's own histories of bank images.

    Each of these is left out of its own completions, and designed for step by step with the weight that is
    found (see `boed.search.shrinkage.choose_weight`); what the map with that weight says is calibrated (see
    `boed.estimators.calibration`), such that its mean does not rise. The first map is the average over the
    bank, the same for all images: if it is of the cross-entropy, it says what it means.

    Args:
        learned: approximations, all but these.
        seed: of the completions.
        images: of the bank, at most; default by what a map costs.
        rows: (B,) these images of the bank, of which the estimator must know nothing.
        errors: standard errors by which own maps must beat the fixed order.
    """
    if rows is None:
        pairs = TOGETHER_PLACES if learned.settings.together else IMAGE_PLACES
        wanted = images or max(FEW_IMAGES, pairs // len(learned.places))
        wanted = affordable(learned, wanted)
        balanced = learned.settings.balanced  # whose copies would count as images
        rows = (
            distinct(learned.bank, wanted)
            if balanced
            else sample(len(learned.bank), wanted, learned.bank.ids.device)
        )
    designer = Designer(learned)
    excluded = learned.versions(learned.bank, rows)
    history = History(designer, learned.bank, rows, seed=seed, excluded=excluded)
    weights, reads, levels = list[float](), list[Calibration](), list[float]()
    for step in progress(range(learned.glimpses), desc="weigh own maps", unit="glimpse"):
        realised, average, own = _realised(designer, history, rows), history.average_map(), history.own_map()
        of_others = _of_others(designer, history, rows, average, realised) if step else average
        weights.append(choose_weight(of_others, own, realised, errors))
        mixed = shrunk(of_others, own, weights[-1])
        entropy, true = history.predictive_entropy(), step == 0 and designer.score == SCORE
        reads.append(Calibration() if true else calibration_of(mixed, realised, entropy))
        chosen = history.best(mixed)[:, None]
        levels.append(float(reads[-1](mixed, entropy).gather(1, chosen).mean()))
        history.leave_order(weights[-1])
        history.look(history.best(shrunk(average, own, weights[-1])))
    return Adaptivity(tuple(weights), tuple(falling(reads, levels)))


def _of_others(
    designer: Designer, history: History, rows: Tensor, average: Tensor, realised: Tensor
) -> Tensor:
    """(B, L) averages in which bank images themselves have no part: they would tell their own labels."""
    maps = designer.common_average if history.common else designer.average
    same = designer.score == SCORE
    return maps.without(
        rows, average, realised if same else _realised(designer, history, rows, designer.score)
    )


def _realised(designer: Designer, history: History, rows: Tensor, score: str = SCORE) -> Tensor:
    """(B, L) score of q on the bank images themselves after one more glimpse at each place."""
    return designer.bank.scores_after(rows, history.total, history.count + 1, score)
