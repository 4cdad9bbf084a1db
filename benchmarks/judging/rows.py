"""Rows of `benchmarks.judging`: figures of every seed, with intervals over images and seeds beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.intervals import drawn_seeds, over_seeds
from benchmarks.judging.one_seed import SeedFigures, name_of
from benchmarks.judging.plan import ONE, REFERENCE, SOURCES
from data.errors import SettingsError
from data.measures import RESAMPLES, Measure, mean_measure, resampling

MEAN = "mean"
MEASURES = ("accuracy", "nll")


def rows_of(task: str, target: str, seeds: Sequence[SeedFigures]) -> list[dict[str, Any]]:
    """A row for each source and seed.

    What ends with `_over_seeds`, `_low` and `_high` is of all seeds: means, and 95 % intervals of a bootstrap
    that draws images, the same for all sources and seeds, and seeds (`benchmarks.intervals`). What begins
    with `ahead` is the mean over the glimpses of a source less the fixed order of as many widths.

    Args:
        task: its name.
        target: what is predicted.
        seeds: of the same images and sources.

    Raises:
        SettingsError: seeds of other images or sources.
    """
    first = seeds[0]
    if any(one.names != first.names or not torch.equal(one.ids, first.ids) for one in seeds):
        raise SettingsError(f"expected seeds of the same images and sources for {task}, found others")
    counts = resampling(first.originals, seed=0)
    shares = drawn_seeds(len(seeds), seed=0, resamples=RESAMPLES)
    every = {name: over([one.values[name] for one in seeds], counts, shares) for name in MEASURES}
    ahead = {name: over([_ahead(one, name) for one in seeds], counts, shares) for name in MEASURES}
    rows = []
    for s, source in enumerate(first.names):
        figures = _figures({name: every[name].at(s) for name in MEASURES})
        means = _figures({f"ahead_{name}": ahead[name].at(s) for name in MEASURES})
        shared: dict[str, Any] = figures | {name: value for name, (value,) in means.items()}
        rows += [_row(task, target, source, s, one, shared) for one in seeds]
    return rows


def over(values: Sequence[Tensor], counts: np.ndarray, shares: np.ndarray) -> Measure:
    """Mean over images and seeds of values (S, N, T) of each seed: a measure (S, T)."""
    each = [mean_measure(one, counts) for one in values]
    together = Measure(np.stack([m.value for m in each]), np.stack([m.samples for m in each], axis=1))
    return over_seeds(together, shares)


def mean_over(targets: Mapping[str, Sequence[SeedFigures]]) -> list[SeedFigures]:
    """Seed by seed the means of every image over targets of the same images, for the sources that all have.

    >>> ids, nll = torch.arange(1), {"nll": torch.ones(1, 1, 1)}
    >>> one = SeedFigures(0, ("a",), ids, ids, nll, {}, (2.0,))
    >>> other = replace(one, values={"nll": torch.zeros(1, 1, 1)})
    >>> mean_over({"x": [one], "y": [other]})[0].values["nll"].item()
    0.5
    """
    found = []
    for same in zip(*targets.values(), strict=True):
        values = {name: torch.stack([its.values[name] for its in same]).mean(0) for name in same[0].values}
        truth = {
            name: {
                kind: np.mean([its.truth[name][kind] for its in same], axis=0).tolist() for kind in its_kinds
            }
            for name, its_kinds in same[0].truth.items()
        }
        found.append(replace(same[0], values=values, truth=truth, seconds=(0.0,) * len(same[0].names)))
    return found


def _row(
    task: str, target: str, source: str, s: int, one: SeedFigures, shared: Mapping[str, Any]
) -> dict[str, Any]:
    own = {name: one.values[name][s].mean(0).tolist() for name in MEASURES}
    truth = one.truth.get(source, {})
    return {
        "method": f"{task}, {target}: {source}",
        "task": task,
        "target": target,
        "source": source,
        "seed": one.seed,
        "images": len(one.ids),
        **own,
        **shared,
        **{name: truth.get(name) for name in ("predicted", "realised", "weights")},
        "seconds": round(one.seconds[s], 1),
    }


def _ahead(one: SeedFigures, name: str) -> Tensor:
    """(S, N, 1) of each source less the fixed order of as many widths, mean over the glimpses."""
    values = one.values[name].double().mean(2, keepdim=True)
    return values - values[[one.names.index(fixed_beside(source)) for source in one.names]]


def fixed_beside(source: str) -> str:
    """The fixed order that a source is compared with; published sequences are of one width.

    >>> fixed_beside("design, widths"), fixed_beside("published")
    ('fixed order, widths', 'fixed order, one width')
    """
    arm = source.rpartition(", ")[2]
    return name_of(REFERENCE, arm if arm in SOURCES else ONE)


def _figures(measures: Mapping[str, Measure]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for name, measure in measures.items():
        low, high = measure.interval()
        ends = {f"{name}_over_seeds": measure.value, f"{name}_low": low, f"{name}_high": high}
        found |= {key: value.tolist() for key, value in ends.items()}
    return found
