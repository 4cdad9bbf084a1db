"""Accuracy of stopping rules at equal mean cost.

Thresholds are chosen on validation images. A wanted mean cost lies between those of two thresholds there; a
coin, tossed for each image, takes one of the two such that the mean is met. Test images then say how often
that is right and what it costs. Of several networks that serve one rule, as those that were trained to halt
for one ponder cost each, the one whose mixture has the smallest validation NLL is taken.

Shapes: N images, P thresholds, M mean costs, S seeds, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.intervals import drawn_seeds, over_seeds
from benchmarks.stopping.outcomes import Looked, Network, Outcomes
from benchmarks.stopping.rules import FIXED, HALTING, rule_of, rules_of
from data.errors import SettingsError
from data.measures import RESAMPLES, Measure, mean_measure, resampling

Cell = tuple[str, int]
"""An attribute and a seed."""


class Study:
    """Networks of attributes and seeds: of each one that is stopped by rules, and any that halt.

    Attributes:
        cells: attribute and seed -> the network that imitates designs.
        halting: attribute and seed -> the networks that halt.
        steps: T.

    Raises:
        SettingsError: networks of other test images or other T, twice the same, or none that does not halt.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self.cells: dict[Cell, Network] = {}
        self.halting: dict[Cell, list[Network]] = {}
        for network in networks:
            cell = (network.attribute, network.seed)
            if HALTING in network.test.predictions.said:
                self.halting.setdefault(cell, []).append(network)
            elif self.cells.setdefault(cell, network) is not network:
                raise SettingsError(
                    f"expected one run of {network.attribute} and seed {network.seed}, found two"
                )
        if not self.cells or not self.cells.keys() >= self.halting.keys():
            raise SettingsError("expected a run that does not halt for each attribute and seed, found none")
        first = networks[0].test
        alike = [torch.equal(its.test.originals, first.originals) for its in networks]
        if not all(alike) or any(its.test.steps != first.steps for its in networks):
            raise SettingsError("expected runs on the same test images with as many glimpses, found others")
        self.steps = first.steps
        self.counts = resampling(first.originals, seed=0, resamples=RESAMPLES)

    @property
    def attributes(self) -> list[str]:
        """In the order in which they came."""
        return list(dict.fromkeys(attribute for attribute, _ in self.cells))

    def rules(self) -> list[str]:
        """Those of the networks; halting where every attribute has a network that halts."""
        known = rules_of(next(iter(self.cells.values())).valid.predictions)
        halting = {attribute for attribute, _ in self.halting} == set(self.attributes)
        return [*known, *([HALTING] if halting else [])]

    def of(self, rule: str) -> dict[Cell, list[Network]]:
        """Attribute and seed -> the networks that serve a rule."""
        return self.halting if rule == HALTING else {cell: [its] for cell, its in self.cells.items()}

    def mean(self, values: Mapping[Cell, np.ndarray]) -> Measure:
        """Mean (M,) over attributes, seeds and images of values (M, N); images and seeds are drawn.

        The images are drawn once for all; the seeds of each attribute have nothing in common.
        """
        means = list[Measure]()
        for number, attribute in enumerate(self.attributes):
            own = [torch.from_numpy(its.T) for (name, _), its in values.items() if name == attribute]
            shares = drawn_seeds(len(own), seed=number, resamples=RESAMPLES)
            means.append(over_seeds(mean_measure(torch.stack(own), self.counts), shares))
        return Measure.mean(means)


def wanted_glimpses(steps: int) -> list[float]:
    """Mean numbers of glimpses to compare at, the last of them all T.

    >>> wanted_glimpses(5), wanted_glimpses(2)
    ([1.25, 1.5, 2.0, 3.0, 5.0], [1.25, 1.5, 2.0])
    """
    return [*(few for few in (1.25, 1.5, 2.0, 3.0) if few < steps), float(steps)]


def wanted_costs(study: Study) -> dict[str, list[float]]:
    """Unit -> mean costs to compare at; in MFLOPs what so many glimpses cost where their number is fixed."""
    glimpses = wanted_glimpses(study.steps)
    costs = next(iter(study.cells.values())).test.costs
    spent = costs.spent(torch.tensor(glimpses), study.steps, classifies=False).tolist()
    return {"glimpses": glimpses, "MFLOPs": spent}


def shares(costs: np.ndarray, wanted: Sequence[float]) -> np.ndarray:
    """(M, P) how often each of P thresholds is taken so that the mean cost is as wanted.

    The nearest cheaper and the nearest dearer one; NaN below the cheapest, the dearest above the dearest.

    >>> shares(np.array([1.0, 4.0, 2.0]), [0.5, 1.25, 2.0, 5.0]).tolist()
    [[nan, nan, nan], [0.75, 0.0, 0.25], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    order = np.argsort(costs, kind="stable")
    found = np.zeros((len(wanted), len(costs)))
    for row, cost in zip(found, wanted, strict=True):
        above = int(np.searchsorted(costs[order], cost, side="right"))
        low, high = order[max(above - 1, 0)], order[min(above, len(order) - 1)]
        if above == 0:
            row[:] = np.nan
            continue
        gap = costs[high] - costs[low]
        part = (cost - costs[low]) / gap if gap > 0 else 0.0
        row[low] += 1 - part
        row[high] += part
    return found


@dataclass(frozen=True)
class AtCost:
    """What a rule makes of test images at M mean costs.

    Attributes:
        right, spent: attribute and seed -> (M, N), in the mean over coins.
        above: how much more often it is right than a fixed number of glimpses of the same mean cost, by the
            network of the same attribute and seed that does not halt.
    """

    right: dict[Cell, np.ndarray]
    spent: dict[Cell, np.ndarray]
    above: dict[Cell, np.ndarray]


def at_cost(study: Study, rule: str, unit: str, wanted: Sequence[float]) -> AtCost:
    """A rule at mean costs that validation images meet."""
    found = AtCost({}, {}, {})
    for cell, networks in study.of(rule).items():
        outcomes = chosen(networks, rule, unit, wanted)[1]
        found.right[cell], found.spent[cell] = outcomes.right, outcomes.spent[unit]
        fixed = every(study.cells[cell].test, FIXED)
        costs = fixed.spent[unit].mean(1)
        alike = shares(costs, outcomes.spent[unit].mean(1).clip(min=costs.min()).tolist())
        found.above[cell] = outcomes.right - fixed.mixed(alike).right
    return found


def every(looked: Looked, rule: str) -> Outcomes:
    """At each threshold that is worth trying there."""
    return looked.outcomes(rule, rule_of(rule).thresholds(looked.predictions))


def chosen(
    networks: Sequence[Network], rule: str, unit: str, wanted: Sequence[float]
) -> tuple[Outcomes, Outcomes]:
    """Of validation and test images at M mean costs, by thresholds that the former meet.

    Of several networks the one whose mixture has the smallest validation NLL is taken.
    """
    tried = list[tuple[Outcomes, Outcomes]]()
    for network in networks:
        thresholds = rule_of(rule).thresholds(network.valid.predictions)
        known = network.valid.outcomes(rule, thresholds)
        mixture = shares(known.spent[unit].mean(1), wanted)
        tried.append((known.mixed(mixture), network.test.outcomes(rule, thresholds).mixed(mixture)))
    nll = np.stack([valid.nll.mean(1) for valid, _ in tried])  # (networks, M)
    best = np.where(np.isnan(nll), np.inf, nll).argmin(0)
    rows = best * len(wanted) + np.arange(len(wanted))
    valid, test = (Outcomes.joined(its).take(rows) for its in zip(*tried, strict=True))
    return valid, test
