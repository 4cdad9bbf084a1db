"""`boed benchmark`: fits and designs with every combination, on images seen in training and on others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from boed.benchmark.budget import kept_budget, shared_out
from boed.benchmark.measure import epe_of_chosen, measure_all
from boed.benchmark.result import Benchmark, Reference, Row
from boed.combination import CHOICES, Combination
from boed.completions.registry import COMPLETIONS
from boed.enumeration.exact import Enumeration, exact_greedy, exact_random, optimal_epe
from boed.enumeration.task import enumeration
from boed.estimators.registry import ESTIMATORS
from boed.fitting.fit import fit
from boed.part_files import POSTERIOR
from boed.search.designer import Designer
from boed.settings import FitSettings, FittedSettings
from data.dataset import DataSet, Split, split_in_memory
from data.device import one_thread
from data.finite import template_of
from data.progress import progress
from data.sample import sample_rows

ITERATIONS = 10_000  # of each training, where there is time
RESOLUTIONS = {"avp-cnn": {"resolution": 16}}  # half of the image's side: a quarter of the time
REPORTED = ("iterations", "resolution", "trial_images", "seed")  # settings
OPTIMAL_STEPS = 2
RANDOM_ORDERS = 20


def combinations() -> list[Combination]:
    """Every combination there is, once: an amortised estimator has no completion.

    >>> len(combinations())
    62
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


@dataclass(frozen=True)
class Task:
    """What all rows have in common; see `run_benchmark`."""

    dataset: DataSet
    run: Path
    chosen: list[Combination]
    images: int
    completions: int
    device: torch.device | str
    settings: dict[str, Any]

    def groups(self) -> dict[str, Split]:
        """As many images of each group."""
        count = min(self.images, len(self.dataset["design"]))
        unseen, seen = (_drawn(self.dataset[split], count) for split in ("design", "train"))
        return {"unseen": unseen, "seen": seen}

    def world(self) -> Enumeration:
        """All templates, seen or not, on the whole grid."""
        geometry = self.dataset.geometry
        return enumeration(self.dataset.name, geometry, geometry.grid().locations)


def run_benchmark(
    dataset: DataSet,
    run: Path,
    chosen: list[Combination],
    *,
    images: int,
    completions: int,
    minutes: float | None = None,
    processes: int | None = None,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> Benchmark:
    """Fits and designs with every combination, and compares with exact design on the same images.

    Two groups of images: of templates that no training image shows, and of the training images themselves,
    as if they came again. The exact values of both follow from all templates, equally likely.

    Args:
        dataset: finite.
        run: folder of the approximations, one for each posterior; what is there is taken.
        chosen: combinations.
        images: how many of each group, two at least.
        completions: N.
        minutes: that all rows may take: it sets the iterations of each training, the images that weights are
            estimated on and the images of each row. None: all there are.
        processes: that share the posteriors; default one for each, if there are as many cores.
        settings: fields of `boed.fitting.fit.FitSettings`; default 10,000 iterations.
    """
    task = Task(dataset, run, chosen, images, completions, device, settings)
    posteriors = list(dict.fromkeys(each.posterior for each in chosen))
    seconds = None if minutes is None else 60 * minutes
    parts = shared_out(posteriors, processes or os.cpu_count() or 1, seconds or 1.0)
    found = [row for rows in _each_done(task, parts, limited=seconds is not None) for row in rows]
    found.sort(key=lambda row: chosen.index(row.combination))
    world, groups, steps = task.world(), task.groups(), len(found[0].measured["seen"].epe.T)
    references = {name: reference(world, split, steps) for name, split in groups.items()}
    optimal = [float(optimal_epe(world, t).min()) for t in range(1, min(OPTIMAL_STEPS, steps) + 1)]
    return Benchmark(references, optimal, found)


def _each_done(task: Task, parts: Sequence[dict[str, float]], *, limited: bool) -> Iterator[list[Row]]:
    """The rows of each part of the posteriors, in processes of their own where there are several."""
    if len(parts) == 1:
        yield _rows_of_part(task, parts[0], limited)
        return
    with ProcessPoolExecutor(len(parts), get_context("spawn")) as pool:
        yield from pool.map(_rows_of_part, [task] * len(parts), parts, [limited] * len(parts))


def _rows_of_part(task: Task, part: dict[str, float], limited: bool) -> list[Row]:
    """Rows of some posteriors, one after the other; what one of them leaves of its time is the next one's."""
    found, start, due = list[Row](), time.monotonic(), 0.0
    with one_thread():
        for posterior, seconds in part.items():
            due += seconds
            left = due - (time.monotonic() - start) if limited else None
            found += rows_of_posterior(task, posterior, left)
    return found


def rows_of_posterior(task: Task, posterior: str, seconds: float | None) -> list[Row]:
    """The rows of one posterior, the first of all with its fixed order.

    Args:
        seconds: that they may take; each has its share of what is left when it begins. None: no limit.
    """
    rows = [each for each in task.chosen if each.posterior == posterior]
    start, found = time.monotonic(), list[Row]()
    folder = task.run / f"approximations{Combination.of(posterior=posterior).tag}"
    settings = _settings(task, folder, rows, seconds)
    world, groups = task.world(), task.groups()
    fit(task.dataset, folder, device=task.device, combination=rows[0], **settings)  # q is all rows' own
    for number, combination in enumerate(progress(rows, desc=f"rows of {posterior}", unit="row")):
        begun = time.monotonic()
        until = None if seconds is None else begun + (start + seconds - begun) / (len(rows) - number)
        learned = fit(task.dataset, folder, device=task.device, combination=combination, **settings)
        designer = Designer(learned, completions=task.completions)
        measured, fixed = measure_all(designer, world, groups, until), None
        if combination == task.chosen[0]:
            fixed = measure_all(designer, world, groups, until, adaptive=False)
        about = {name: getattr(learned.settings, name) for name in REPORTED}
        found.append(Row(combination, measured, about, time.monotonic() - begun, fixed))
    return found


def _settings(task: Task, folder: Path, rows: Sequence[Combination], seconds: float | None) -> dict[str, Any]:
    """Of the fit of one posterior: what was asked for, and what there is time for."""
    if (folder / POSTERIOR).exists():
        return task.settings  # the folder knows the others
    posterior = rows[0].posterior
    chosen = {"iterations": ITERATIONS, **RESOLUTIONS.get(posterior, {}), **task.settings}
    if seconds is None:
        return chosen
    settings = FitSettings(**{"glimpses": task.dataset.glimpses, **chosen})
    fitted = FittedSettings(**asdict(settings), posterior=posterior)
    affordable = kept_budget(task.dataset, folder, rows, fitted, seconds)
    return {**chosen, **asdict(affordable), **task.settings}


def _drawn(split: Split, count: int) -> Split:
    """Some images in an arbitrary order, as new ones: none of them is known to be in a bank."""
    rows = sample_rows(len(split), count)
    images, labels, ids = (getattr(split, name)[rows].numpy() for name in ("images", "labels", "ids"))
    return split_in_memory(images, labels, ids)


def reference(world: Enumeration, split: Split, steps: int) -> Reference:
    """Random and exact greedy design of `steps` glimpses for these images."""
    templates = template_of(split.ids)
    random = [epe_of_chosen(exact_random(world, templates, steps, seed=n)) for n in range(RANDOM_ORDERS)]
    return Reference(torch.stack(random).mean(0), epe_of_chosen(exact_greedy(world, templates, steps)))
