"""The yardstick: how near each combination of approximations comes to exact design, where that is known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from boed.approximations import Approximations
from boed.combination import CHOICES, Combination
from boed.completions.registry import COMPLETIONS
from boed.enumeration.exact import (
    Enumeration,
    ExactDesigns,
    exact_along,
    exact_greedy,
    exact_random,
    optimal_epe,
)
from boed.enumeration.task import enumeration
from boed.estimators.registry import ESTIMATORS
from boed.fitting.fit import fit
from boed.search.designer import Designer, design_sequences
from data.dataset import DataSet, Split
from data.finite import template_of
from data.measures import calibration_measure
from data.progress import progress
from data.sample import sample_rows

OPTIMAL_STEPS = 2
RANDOM_ORDERS = 20


@dataclass(frozen=True)
class Row:
    """One combination, for t = 1..T along its own histories.

    Attributes:
        combination: its parts.
        epe: mean exact EPE of the chosen locations, nats.
        regret: mean exact EPE of the chosen location minus the smallest one, nats.
        correlation: mean rank correlation of its map with the exact one, over places not yet seen.
        calibration_error: of q after each glimpse.
    """

    combination: Combination
    epe: list[float]
    regret: list[float]
    correlation: list[float]
    calibration_error: list[float]


@dataclass(frozen=True)
class Benchmark:
    """All rows, between random and exact greedy design.

    Attributes:
        random, exact: mean exact EPE of the chosen locations at t = 1..T, nats.
        fixed: the same for the fixed order of the default combination.
        optimal: the smallest EPE that any policy reaches after exactly t glimpses, for the first few t.
        rows: one per combination.
    """

    random: list[float]
    exact: list[float]
    fixed: list[float]
    optimal: list[float]
    rows: list[Row]

    def closed(self, row: Row) -> list[float]:
        """Share of the gap between random and exact greedy design that a row closes at each t."""
        gaps = zip(self.random, self.exact, row.epe, strict=True)
        return [(random - own) / (random - exact) for random, exact, own in gaps]

    def to_json(self) -> dict[str, Any]:
        """Nested dictionaries with t, as a string, for key."""
        levels = {name: by_step(getattr(self, name)) for name in ("random", "exact", "fixed", "optimal")}
        return {**levels, "rows": [self._row_json(row) for row in self.rows]}

    def _row_json(self, row: Row) -> dict[str, Any]:
        return {
            **asdict(row.combination),
            "default": row.combination == Combination(),
            "epe": by_step(row.epe),
            "closed": by_step(self.closed(row)),
            "regret_nats": by_step(row.regret),
            "map_rank_correlation": by_step(row.correlation),
            "calibration_error": by_step(row.calibration_error),
        }


def by_step(values: list[float]) -> dict[str, float]:
    """Values for t = 1, 2, ... by t.

    >>> by_step([0.5, 0.25])
    {'1': 0.5, '2': 0.25}
    """
    return {str(t): value for t, value in enumerate(values, 1)}


def combinations() -> list[Combination]:
    """Every combination there is, once: an amortised estimator has no completion.

    >>> len(combinations())
    38
    """
    combinations, default = list[Combination](), Combination()
    for posterior, completion, estimator, score in product(*CHOICES.values()):
        kind = ESTIMATORS[estimator]
        able = COMPLETIONS[completion].labelled or score != "cross-entropy"
        if not kind.completes:
            able = (posterior, completion) == (default.posterior, default.completion)
        if able and score in kind.scores:
            combinations.append(Combination(posterior, completion, estimator, score))
    return sorted(combinations, key=lambda each: not ESTIMATORS[each.estimator].completes)


def run_benchmark(
    dataset: DataSet,
    run: Path,
    chosen: list[Combination],
    *,
    images: int,
    completions: int,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> Benchmark:
    """Fits and designs with every combination, and compares with exact design on the same images.

    Args:
        dataset: finite.
        run: folder of the approximations, one for each posterior; what is there is taken.
        chosen: combinations.
        images: how many design images.
        completions: N.
        settings: fields of `boed.fitting.fit.FitSettings`.
    """
    split = dataset["design"]
    rows = sample_rows(len(split), min(images, len(split)))
    templates = template_of(split.ids[rows])
    world = enumeration(dataset.name, dataset.geometry, dataset.geometry.grid().locations)
    steps = int(settings.get("glimpses", dataset.glimpses))
    exact = exact_greedy(world, templates, steps)
    random = np.mean(
        [_chosen_epe(exact_random(world, templates, steps, seed=n)) for n in range(RANDOM_ORDERS)], 0
    )
    found: list[Row] = []
    fixed: list[float] = []
    for combination in progress(chosen, desc="combinations"):
        folder = run / f"approximations{Combination.of(posterior=combination.posterior).tag}"
        learned = fit(dataset, folder, device=device, combination=combination, **settings)
        found.append(measure(learned, world, split, rows, completions))
        if not fixed:
            fixed = measure(learned, world, split, rows, completions, adaptive=False).epe
    optimal = [float(optimal_epe(world, t).min()) for t in range(1, min(OPTIMAL_STEPS, steps) + 1)]
    return Benchmark(random.tolist(), _chosen_epe(exact), fixed, optimal, found)


def measure(
    learned: Approximations,
    world: Enumeration,
    split: Split,
    rows: Tensor,
    completions: int,
    *,
    adaptive: bool = True,
) -> Row:
    """Designs for the images `rows` and what exact enumeration says of them."""
    designer, steps = Designer(learned, completions=completions), learned.glimpses
    weights = designer.weights if adaptive else (0.0,) * steps
    designs = design_sequences(designer, split, rows, steps, weights, seed=learned.settings.seed)
    truth = exact_along(world, template_of(split.ids[rows]), world.index(designs.locations.cpu()))
    best = truth.epe_map.masked_fill(_seen_before(truth), torch.inf).amin(2)
    regret = (_epe_of_chosen(truth) - best).mean(0).tolist()
    ordered = designs.epe_map.cpu()[..., _order(world, learned.places.cpu())]
    correlation = [_rank_correlation(ordered[:, t], truth.epe_map[:, t]) for t in range(steps)]
    return Row(
        learned.combination,
        _chosen_epe(truth),
        regret,
        correlation,
        _calibration(designer, split, rows, designs.locations),
    )


def _order(world: Enumeration, places: Tensor) -> Tensor:
    """Numbers in the codebook of the world's places."""
    return world.index(places).argsort()


def _epe_of_chosen(designs: ExactDesigns) -> Tensor:
    """(B, T) exact EPE of the chosen places."""
    return designs.epe_map.gather(2, designs.places[..., None]).squeeze(2)


def _chosen_epe(designs: ExactDesigns) -> list[float]:
    return _epe_of_chosen(designs).mean(0).tolist()


def _seen_before(designs: ExactDesigns) -> Tensor:
    """(B, T, L) whether a place was seen before glimpse t."""
    here = torch.nn.functional.one_hot(designs.places, designs.epe_map.shape[2])
    return (here.cumsum(1) - here).bool()


def _rank_correlation(measured: Tensor, truth: Tensor) -> float:
    """Mean Spearman correlation (B, L) over images; a map without any order counts as 0."""
    values = []
    for own, exact in zip(measured.numpy(), truth.numpy(), strict=True):
        known = np.isfinite(own)
        ranks = rankdata(own[known].round(9)), rankdata(exact[known].round(9))
        spread = min(np.std(rank) for rank in ranks)
        values.append(float(np.corrcoef(*ranks)[0, 1]) if spread > 0 else 0.0)
    return float(np.mean(values))


@torch.no_grad()
def _calibration(designer: Designer, split: Split, rows: Tensor, locations: Tensor) -> list[float]:
    """Calibration error of q after each glimpse at `locations` (B, T, 3)."""
    learned = designer.learned
    glimpses = learned.geometry.retina()(split.images, rows, locations)
    totals = learned.q.embed(glimpses, learned.geometry.centres(locations)).cumsum(1)
    parts = [learned.q.logits(totals[:, t].clone(), t + 1).softmax(-1) for t in range(locations.shape[1])]
    confidence, classes = torch.stack(parts, 1).max(-1)  # (B, T)
    right = classes == split.labels[rows][:, None]
    return calibration_measure(confidence[None], right[None], np.ones((1, len(rows)))).value[0].tolist()
