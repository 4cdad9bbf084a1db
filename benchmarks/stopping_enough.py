"""The fewest glimpses, in the mean, with which a stopping rule is as accurate as with all T.

One threshold serves the networks of all attributes and seeds: nats and probabilities mean the same whatever
is predicted, so an attribute that is told at a glance is given few glimpses and a difficult one many. Of a
fixed number of glimpses and the next one a coin chooses. The threshold is the cheapest with which the mean
accuracy on the validation images is at most `TOLERANCE` below that of all T there; what it gives is read on
the test images.

Shapes: N images, P thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.stopping_costs import Cell, Study, shares
from benchmarks.stopping_outcomes import Looked, Network, Outcomes
from benchmarks.stopping_rules import FIXED, rule_of

TOLERANCE = 0.001  # of accuracy
COMMON = 201  # thresholds at most that are tried
PARTS = 20  # of a glimpse, in which coins are tried


@dataclass(frozen=True)
class Enough:
    """What the cheapest threshold that is good enough gives.

    Attributes:
        threshold: in the unit of the rule; of fixed, the mean number of glimpses.
        name: of the networks, see `Network`.
        valid_glimpses, valid_below: what it takes in the mean, and by how much it is less accurate than all
            T, on validation images.
        spent, right: attribute and seed -> (1, N) on test images.
        below: the same of how much less often it is right than all T glimpses of the network that does not
            halt.
    """

    threshold: float
    name: str
    valid_glimpses: float
    valid_below: float
    spent: dict[Cell, np.ndarray]
    right: dict[Cell, np.ndarray]
    below: dict[Cell, np.ndarray]


def enough(study: Study, rule: str) -> Enough | None:
    """The cheapest threshold of a rule that is good enough; None: none is."""
    found = [its for networks in alike(study, rule) if (its := _cheapest(study, rule, networks)) is not None]
    return min(found, key=lambda its: its.valid_glimpses, default=None)


def alike(study: Study, rule: str) -> list[dict[Cell, Network]]:
    """The networks that serve a rule, those trained alike together, where every attribute has one."""
    cells = study.of(rule)
    names = dict.fromkeys(network.name for networks in cells.values() for network in networks)
    groups = [
        {cell: its for cell, networks in cells.items() for its in networks if its.name == name}
        for name in names
    ]
    return [group for group in groups if {attribute for attribute, _ in group} == set(study.attributes)]


def _cheapest(study: Study, rule: str, networks: Mapping[Cell, Network]) -> Enough | None:
    """Of networks that were trained alike."""
    thresholds = common_thresholds(rule, [network.valid for network in networks.values()])
    valid = {cell: outcomes(its.valid, rule, thresholds) for cell, its in networks.items()}
    glimpses = _mean({cell: its.spent["glimpses"].mean(1) for cell, its in valid.items()})
    right = _mean({cell: its.right.mean(1) for cell, its in valid.items()})
    below = _mean({cell: all_steps(study.cells[cell].valid).mean(1) for cell in networks}) - right
    good = np.flatnonzero(below <= TOLERANCE)
    if len(good) == 0:
        return None
    at = good[glimpses[good].argmin()]
    test = {cell: outcomes(its.test, rule, [thresholds[at]]) for cell, its in networks.items()}
    return Enough(
        float(thresholds[at]),
        next(iter(networks.values())).name,
        float(glimpses[at]),
        float(below[at]),
        {cell: its.spent["glimpses"] for cell, its in test.items()},
        {cell: its.right for cell, its in test.items()},
        {cell: all_steps(study.cells[cell].test) - its.right for cell, its in test.items()},
    )


def all_steps(looked: Looked) -> np.ndarray:
    """(1, N) whether the prediction after all T glimpses is right."""
    return looked.outcomes(FIXED, [looked.steps]).right


def common_thresholds(rule: str, looked: Sequence[Looked]) -> list[float]:
    """Thresholds that are worth trying with some network, `COMMON` of them at most, evenly by rank."""
    if rule == FIXED:
        steps = looked[0].steps
        return [1 + part / PARTS for part in range(PARTS * (steps - 1) + 1)]
    every = sorted({value for its in looked for value in rule_of(rule).thresholds(its.predictions)})
    rows = np.linspace(0, len(every) - 1, min(COMMON, len(every))).round().astype(int)
    return [every[row] for row in rows]


def outcomes(looked: Looked, rule: str, thresholds: Sequence[float]) -> Outcomes:
    """At thresholds; between two fixed numbers of glimpses in the mean over a coin."""
    if rule != FIXED:
        return looked.outcomes(rule, thresholds)
    numbers = np.arange(1.0, looked.steps + 1)
    return looked.outcomes(FIXED, numbers.tolist()).mixed(shares(numbers, thresholds))


def _mean(values: Mapping[Cell, np.ndarray]) -> np.ndarray:
    """(P,) over the seeds of each attribute, then over attributes, of (P,)."""
    attributes = dict.fromkeys(attribute for attribute, _ in values)
    return _of([_of([its for (name, _), its in values.items() if name == each]) for each in attributes])


def _of(values: Iterable[np.ndarray]) -> np.ndarray:
    mean: np.ndarray = np.mean(list(values), axis=0)
    return mean
