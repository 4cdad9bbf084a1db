"""Rows of the comparison of stopping rules, for a file of results.

Three kinds: "network", one for each training; "equal cost", of each rule, mean cost and seed; "enough", of
each rule and seed, of the fewest glimpses that are as good as all T. A row of the latter two has the figures
of its seed, and those over all seeds with their 95 % interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.stopping.calibration import calibrated
from benchmarks.stopping.costs import Cell, Study, at_cost, wanted_costs, wanted_glimpses
from benchmarks.stopping.enough import all_steps, enough
from benchmarks.stopping.outcomes import Network
from data.measures import Measure

Row = dict[str, Any]
COMMON, OWN = "one threshold for all networks", "thresholds of each network"


def rows_of(networks: Sequence[Network]) -> list[Row]:
    """All rows; raises as `Study`."""
    study = Study(calibrated(networks))
    costs = wanted_costs(study)
    places = [(rule, unit) for rule in study.rules() for unit in costs]
    equal = [row for rule, unit in places for row in _equal_cost(study, rule, unit, costs[unit])]
    ways = [(rule, common) for common in (True, False) for rule in study.rules()]
    few = [row for rule, common in ways for row in _enough(study, rule, common)]
    return [*(_network(its) for its in networks), *equal, *few]


def _network(its: Network) -> Row:
    return {
        "kind": "network",
        "method": f"{its.name} {its.attribute}",
        "attribute": its.attribute,
        "seed": its.seed,
        "seconds": its.seconds,
        "iterations": its.iterations,
        "accuracy": float(all_steps(its.test).mean()),
    }


def _equal_cost(study: Study, rule: str, unit: str, wanted: Sequence[float]) -> list[Row]:
    """Of each mean cost and each seed."""
    found = at_cost(study, rule, unit, wanted)
    right, above, spent = (study.mean(its) for its in (found.right, found.above, found.spent))
    rows = list[Row]()
    for at, (cost, few) in enumerate(zip(wanted, wanted_glimpses(study.steps), strict=True)):
        over = _figures("accuracy", right, at) | _figures("above_fixed", above, at)
        facts: Row = {
            "kind": "equal cost",
            "method": f"{rule}, {unit} of {few:g}",
            "rule": rule,
            "unit": unit,
        }
        facts |= {"of_glimpses": few, "cost": cost, "mean_spent": _number(spent.value[at])}
        for seed, own in _by_seed(found.right).items():
            its = {"accuracy": _even(own, found.right, at), "spent": _even(own, found.spent, at)}
            rows.append(facts | _about(seed, own) | its | over)
    return rows


def _enough(study: Study, rule: str, common: bool) -> list[Row]:
    """Of each seed; none where no threshold is good enough."""
    found, thresholds = enough(study, rule, common=common), COMMON if common else OWN
    if found is None:
        return []
    spent, right, below = (study.mean(its) for its in (found.spent, found.right, found.below))
    facts: Row = {
        "kind": "enough",
        "method": f"{rule}, as good as all, {thresholds}",
        "rule": rule,
        "thresholds": thresholds,
        "threshold": found.threshold,
        "valid_glimpses": found.valid_glimpses,
        "valid_below": found.valid_below,
    }
    over = _figures("glimpses", spent, 0) | _figures("accuracy", right, 0) | _figures("below", below, 0)
    return [
        facts
        | _about(seed, own)
        | {"accuracy": _even(own, found.right, 0), "glimpses": _even(own, found.spent, 0)}
        | over
        for seed, own in _by_seed(found.right).items()
    ]


def _about(seed: int, cells: Sequence[Cell]) -> Row:
    """The training of the networks is in rows of their own."""
    return {"seed": seed, "seconds": 0.0, "attributes": len(cells)}


def _by_seed(values: Mapping[Cell, np.ndarray]) -> dict[int, list[Cell]]:
    seeds = sorted({seed for _, seed in values})
    return {seed: [cell for cell in values if cell[1] == seed] for seed in seeds}


def _even(cells: Sequence[Cell], values: Mapping[Cell, np.ndarray], at: int) -> float | None:
    """Mean of one place of (M, N) over images and attributes."""
    return _number(np.mean([values[cell][at].mean() for cell in cells]))


def _figures(name: str, measure: Measure, at: int) -> Row:
    """Over all seeds, with the interval."""
    low, high = measure.interval()
    figures = {f"mean_{name}": measure.value[at], f"{name}_low": low[at], f"{name}_high": high[at]}
    return {key: _number(value) for key, value in figures.items()}


def _number(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if np.isnan(value) else float(value)
