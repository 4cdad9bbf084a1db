"""`python -m benchmarks.judging finite`: how near combinations come to exact design, on templates never seen.

One part for each seed and posterior, kept in a file: what is done is not done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.intervals import drawn_seeds, over_seeds
from boed.benchmark.benchmark import Task, reference, rows_of_posterior
from boed.benchmark.budget import shared_out
from boed.benchmark.result import GROUPS, Row
from boed.combination import Combination
from boed.search.choices import COMPLETIONS
from data.device import one_thread
from data.errors import SettingsError
from data.measures import RESAMPLES, Measure, resampling
from data.registry import load
from data.tensors import load_tensors, save_tensors

IMAGES = 100  # of each group
COMMAND = "python -m benchmarks.judging finite"
REFERENCES = ("random", "exact")
LEVELS = (*REFERENCES, "own")
FIXED = "fixed order of "


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
    """Combinations, and the fixed order of the first one, for each seed.

    Args:
        run: folder of everything; another choice of combinations needs another one.
        minutes: for one seed; None: without a limit.
        settings: of the fits.

    Raises:
        SettingsError: what is there is of other combinations.
    """
    names = list(dict.fromkeys(each.posterior for each in chosen))
    (shares,) = shared_out(names, 1, 60 * (minutes or 1.0))
    found = list[FiniteFigures]()
    for seed in seeds:
        task = task_of(run / f"seed-{seed}", seed, list(chosen), settings)
        levels = references(task)
        for name in names:
            path = task.run / f"{name}.safetensors"
            if not path.exists():
                with one_thread():
                    rows = rows_of_posterior(task, name, None if minutes is None else shares[name])
                keep(path, rows)
            own = [each for each in chosen if each.posterior == name]
            found += require_same(kept(path, seed, levels), own, path)
    return found


def task_of(run: Path, seed: int, chosen: list[Combination], settings: Mapping[str, Any]) -> Task:
    """What all rows of a seed have in common."""
    of_fits = {**settings, "seed": seed}
    return Task(load("finite", seed=seed), run, chosen, IMAGES, COMPLETIONS, "cpu", of_fits)


def references(task: Task) -> dict[str, dict[str, Tensor]]:
    """Exact EPE of random and of exact greedy design by group of images, each (n, T); computed once."""
    path = task.run / "references.safetensors"
    if not path.exists():
        world, steps = task.world(), task.settings.get("glimpses", task.dataset.glimpses)
        found = {group: reference(world, split, steps) for group, split in task.groups().items()}
        both = {g: {"random": its.random, "exact": its.exact} for g, its in found.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(path, {f"{g}/{n}": value for g, its in both.items() for n, value in its.items()}, {})
    tensors, _ = load_tensors(path, COMMAND)
    return {group: {name: tensors[f"{group}/{name}"] for name in REFERENCES} for group in GROUPS}


def require_same(
    found: list[FiniteFigures], chosen: Sequence[Combination], path: Path
) -> list[FiniteFigures]:
    """What is there; raises SettingsError where it is of other combinations than are asked for."""
    names = [[one.words for one in chosen], [one.method for one in found if not one.method.startswith(FIXED)]]
    if names[0] != names[1]:
        raise SettingsError(
            f"expected {path} of {'; '.join(names[0])}, found {'; '.join(names[1])}; use another --run"
        )
    return found


def keep(path: Path, rows: Sequence[Row]) -> None:
    """Writes the exact EPE of every image, and about each row what it is."""
    tensors, about = dict[str, Tensor](), list[dict[str, Any]]()
    for row in rows:
        words, default = row.combination.words, row.combination == Combination()
        parts = [({"words": words, "default": default, "seconds": row.seconds}, row.measured)]
        if row.fixed is not None:
            parts.append(({"words": FIXED + words, "default": False, "seconds": 0.0}, row.fixed))
        for said, measured in parts:
            tensors |= {f"{len(about)}/{group}": its.epe.clone() for group, its in measured.items()}
            about.append({**row.settings, **said})
    save_tensors(path, tensors, {"rows": about})


def kept(path: Path, seed: int, levels: Mapping[str, Mapping[str, Tensor]]) -> list[FiniteFigures]:
    """What `keep` wrote, beside the references of its images."""
    tensors, about = load_tensors(path, COMMAND)
    found = []
    for number, row in enumerate(about["rows"]):
        own = {group: tensors[f"{number}/{group}"] for group in GROUPS}
        beside = {
            group: {"own": own[group], **{n: v[: len(own[group])] for n, v in levels[group].items()}}
            for group in GROUPS
        }
        sizes = row["iterations"], row["seconds"]
        found.append(FiniteFigures(row["words"], row["default"], seed, beside, *sizes))
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
