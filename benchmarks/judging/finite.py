"""`python -m benchmarks.judging finite`: how near combinations come to exact design, on templates never seen.

One part for each seed and posterior, kept in a file: what is done is not done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.intervals import drawn_seeds, over_seeds
from boed.benchmark.benchmark import run_benchmark
from boed.benchmark.budget import shared_out
from boed.benchmark.result import GROUPS, Benchmark
from boed.combination import Combination
from boed.search.choices import COMPLETIONS
from data.errors import SettingsError
from data.measures import RESAMPLES, Measure, resampling
from data.registry import load
from data.tensors import load_tensors, save_tensors

IMAGES = 200
COMMAND = "python -m benchmarks.judging finite"
LEVELS = ("random", "exact", "own")


@dataclass(frozen=True)
class FiniteFigures:
    """Of one combination and seed, by group of images: exact EPE of what is looked at, each (n, T), in nats.

    Attributes:
        method: the parts of the combination.
        levels: group -> "random", "exact" and "own".
    """

    method: str
    default: bool
    seed: int
    levels: Mapping[str, Mapping[str, Tensor]]
    iterations: int
    seconds: float


def finite_figures(
    run: Path, seeds: Sequence[int], chosen: Sequence[Combination], minutes: float | None, **settings: Any
) -> list[FiniteFigures]:
    """Combinations for each seed.

    Args:
        run: folder of everything; another choice of combinations needs another one.
        minutes: for one seed; None: without a limit.
        settings: of the fits.
    """
    names = list(dict.fromkeys(each.posterior for each in chosen))
    (shares,) = shared_out(names, 1, 60 * (minutes or 1.0))
    found = list[FiniteFigures]()
    for seed in seeds:
        for name in names:
            own = [each for each in chosen if each.posterior == name]
            path = run / f"seed-{seed}" / f"{name}.safetensors"
            if not path.exists():
                time = None if minutes is None else shares[name] / 60
                keep(path, measured(path.with_suffix(""), seed, own, time, settings))
            found += require_same(kept(path, seed), own, path)
    return found


def require_same(
    found: list[FiniteFigures], chosen: Sequence[Combination], path: Path
) -> list[FiniteFigures]:
    """What is there; raises SettingsError where it is of other combinations than are asked for."""
    names = [[one.words for one in chosen], [one.method for one in found]]
    if names[0] != names[1]:
        raise SettingsError(
            f"expected {path} of {'; '.join(names[0])}, found {'; '.join(names[1])}; use another --run"
        )
    return found


def measured(
    folder: Path, seed: int, chosen: list[Combination], minutes: float | None, settings: Mapping[str, Any]
) -> Benchmark:
    """Of combinations of one posterior."""
    dataset = load("finite", seed=seed)
    options: dict[str, Any] = {"images": IMAGES, "completions": COMPLETIONS, "minutes": minutes}
    return run_benchmark(dataset, folder, chosen, **options, **settings, processes=1, seed=seed)


def keep(path: Path, result: Benchmark) -> None:
    """Writes the exact EPE of every image, and about each row what it is."""
    tensors, rows = dict[str, Tensor](), []
    for number, row in enumerate(result.rows):
        for group in GROUPS:
            own, reference = row.measured[group].epe, result.references[group]
            levels = {"random": reference.random, "exact": reference.exact, "own": own}
            tensors |= {f"{number}/{group}/{name}": its[: len(own)].clone() for name, its in levels.items()}
        rows.append({**asdict(row.combination), "seconds": row.seconds, **row.settings})
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors, {"rows": rows})


def kept(path: Path, seed: int) -> list[FiniteFigures]:
    """What `keep` wrote."""
    tensors, about = load_tensors(path, COMMAND)
    found = []
    for number, row in enumerate(about["rows"]):
        parts = {name: row[name] for name in asdict(Combination())}
        levels = {g: {level: tensors[f"{number}/{g}/{level}"] for level in LEVELS} for g in GROUPS}
        its = Combination(**parts)
        figures = levels, row["iterations"], row["seconds"]
        found.append(FiniteFigures(its.words, its == Combination(), seed, *figures))
    return found


def finite_rows(figures: Sequence[FiniteFigures]) -> list[dict[str, Any]]:
    """A row for each combination and seed: shares of the gap from random to exact design, by t.

    `closed` is of this seed, on templates that no training image shows; with `_over_seeds`, `_low` and
    `_high` of all seeds, with 95 % intervals over images and seeds. `closed_seen` is on
    training images that come again.
    """
    methods = dict.fromkeys(one.method for one in figures)
    rows = []
    for method in methods:
        seeds = [one for one in figures if one.method == method]
        measure = over([one.levels["unseen"] for one in seeds])
        low, high = measure.interval()
        shared = {"closed_over_seeds": measure.value, "closed_low": low, "closed_high": high}
        rows += [_row(one, {name: value.tolist() for name, value in shared.items()}) for one in seeds]
    return rows


def over(seeds: Sequence[Mapping[str, Tensor]]) -> Measure:
    """(T,) share of the gap that is closed, mean over seeds, each of which has images of its own."""
    each = [
        _closed(levels, resampling(torch.arange(len(levels["own"])), seed=n))
        for n, levels in enumerate(seeds)
    ]
    together = Measure(np.stack([m.value for m in each]), np.stack([m.samples for m in each], axis=1))
    return over_seeds(together, drawn_seeds(len(seeds), seed=0, resamples=RESAMPLES))


def _closed(levels: Mapping[str, Tensor], counts: np.ndarray) -> Measure:
    """(r - o) / (r - e) of the means over n images, and of resamples with counts (R, n) of them."""
    random, exact, own = (levels[name].double().numpy() for name in LEVELS)
    every = [np.ones((1, len(own))), counts]
    once, drawn = ((c @ random - c @ own) / (c @ random - c @ exact) for c in every)
    return Measure(once[0], drawn)


def _row(one: FiniteFigures, shared: Mapping[str, Any]) -> dict[str, Any]:
    once = {
        group: _closed(one.levels[group], np.ones((1, len(one.levels[group]["own"])))) for group in GROUPS
    }
    return {
        "method": one.method,
        "task": "finite",
        "default": one.default,
        "seed": one.seed,
        "images": len(one.levels["unseen"]["own"]),
        "iterations": one.iterations,
        "closed": once["unseen"].value.tolist(),
        "closed_seen": once["seen"].value.tolist(),
        **shared,
        "seconds": round(one.seconds, 1),
    }
