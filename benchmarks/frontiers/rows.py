"""Frontiers of several tasks at stated budgets: accuracy with intervals over test images and seeds.

Shapes: S seeds, N test images, M budgets, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from benchmarks.intervals import drawn_seeds, over_seeds
from data.measures import Measure, mean_measure, resampling
from hardattn.experiments.frontier.measuring import originals_of, right_of
from hardattn.experiments.frontier.names import looks, own_of
from hardattn.experiments.frontier.pareto import COUNTS, choices
from hardattn.experiments.frontier.result import Frontier
from hardattn.experiments.frontier.summary import BUDGETS

RESAMPLES = 1000
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A frontier and where its files are.

    Attributes:
        folder: of `frontier.json`, whose runs say which test images they are right about.
    """

    found: Frontier
    folder: Path

    @classmethod
    def read(cls, path: Path) -> Task:
        """Raises CheckpointError where it is missing or damaged."""
        return cls(Frontier.read(path), path.parent)

    @property
    def name(self) -> str:
        return f"{self.found.dataset} {self.found.target}"


def measures(tasks: Sequence[Task], count: str) -> dict[str, Measure]:
    """Family, or several together -> test accuracy at each budget, mean over tasks and seeds: (M,).

    NaN where a seed of a task has no point so cheap. Images are drawn alike for all families, and for all
    tasks with the same images; seeds are drawn for each family and task by themselves, as their trainings
    have nothing in common. Families that are not in all tasks are left out.
    """
    of_tasks = [_of_task(task, count, number) for number, task in enumerate(tasks)]
    names = [name for name in of_tasks[0] if all(name in own for own in of_tasks)]
    return {name: Measure.mean([own[name] for own in of_tasks]) for name in names}


def _of_task(task: Task, count: str, number: int) -> dict[str, Measure]:
    originals = originals_of(task.folder)
    drawn = resampling(originals, seed=0, resamples=RESAMPLES)
    found = dict[str, Measure]()
    for at, (name, choice) in enumerate(choices(task.found.points, count).items()):
        right = np.full((len(task.found.seeds), len(originals), len(BUDGETS)), np.nan)
        for column, budget in enumerate(BUDGETS):
            for row, point in enumerate(choice.at(budget) or ()):
                right[row, :, column] = right_of(task.folder, point, len(originals))
        shares = drawn_seeds(len(right), seed=1000 * number + at, resamples=RESAMPLES)
        found[name] = over_seeds(mean_measure(torch.from_numpy(right), drawn), shares)
    return found


def rows(tasks: Sequence[Task]) -> list[Row]:
    """One for each family, count and budget."""
    facts = {name: _facts(tasks, name) for name in dict.fromkeys(p.family for p in tasks[0].found.points)}
    return [row for count in COUNTS for row in _rows(measures(tasks, count), count, tasks, facts)]


def _rows(
    found: Mapping[str, Measure], count: str, tasks: Sequence[Task], facts: Mapping[str, Row]
) -> Iterator[Row]:
    own, seeds = own_of(found), list(tasks[0].found.seeds)
    for name, measure in found.items():
        ends = zip(measure.value, *measure.interval(), strict=True)
        for at, (budget, (value, low, high)) in enumerate(zip(BUDGETS, ends, strict=True)):
            if np.isnan(value):
                continue
            beside = _beside(found, at) if name == own else {}
            first = count == COUNTS[0] and at == _first(measure)
            seconds = facts[name]["seconds"] if first and name in facts else 0.0
            numbers = {"accuracy": float(value), "low": float(low), "high": float(high)}
            yield {
                **{"method": f"{name}, {count}, {budget:g}", "family": name, "count": count},
                **{"budget": budget, **numbers, "seeds": seeds, "seed": seeds[0], "seconds": seconds},
                **{key: facts[name][key] for key in ("networks", "trainings", "capped") if name in facts},
                **beside,
            }


def _first(measure: Measure) -> int:
    """The cheapest budget that there is a point for."""
    return int(np.flatnonzero(~np.isnan(measure.value))[0])


def _beside(found: Mapping[str, Measure], at: int) -> Row:
    """What is compared, minus the rival that is best in the test: a choice against what is compared."""
    rivals = {name: its for name, its in found.items() if not looks(name) and not np.isnan(its.value[at])}
    if not rivals:
        return {}
    best = max(rivals, key=lambda name: rivals[name].value[at])
    difference = found[own_of(found)].at([at]).minus(rivals[best].at([at]))
    low, high = difference.interval()
    ends = {"difference": difference.value, "difference_low": low, "difference_high": high}
    return {"rival": best, **{name: float(value[0]) for name, value in ends.items()}}


def _facts(tasks: Sequence[Task], family: str) -> Row:
    """Of a family: networks of a task, trainings of all, their seconds, and which share was capped."""
    runs = {(at, p.run): p for at, task in enumerate(tasks) for p in task.found.points if p.family == family}
    return {
        "networks": len({point.name for (at, _), point in runs.items() if at == 0}),
        "trainings": len(runs),
        "seconds": round(sum(point.seconds for point in runs.values()), 1),
        "capped": fmean(bool(point.capped) for point in runs.values()),
    }
