"""The fewest glimpses, in the mean, with which a stopping rule is as accurate as with all T.

Two ways to spend glimpses. With one threshold for the networks of all attributes and seeds, an attribute that
is told at a glance is given few of them and a difficult one many: nats and probabilities mean the same
whatever is predicted. (Of a fixed number of glimpses and the next one a coin chooses.) Or each network has
thresholds of its own, such that all of them have the same mean number, see `stopping_costs`.

Either way the cheapest is taken with which the mean accuracy on the validation images is at most `TOLERANCE`
below that of all T there; what it gives is read on the test images.

Shapes: N images, P thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.stopping.costs import Cell, Study, chosen, shares
from benchmarks.stopping.outcomes import Looked, Network, Outcomes
from benchmarks.stopping.rules import FIXED, rule_of

TOLERANCE = 0.001  # of accuracy
COMMON = 201  # thresholds at most that are tried
PARTS = 20  # of a glimpse, in which coins are tried


@dataclass(frozen=True)
class Enough:
    """What the cheapest threshold that is good enough gives.

    Attributes:
        threshold: in the unit of the rule; of fixed, the mean number of glimpses. None: each network has its
            own.
        valid_glimpses, valid_below: what it takes in the mean, and by how much it is less accurate than all
            T, on validation images.
        spent, right: attribute and seed -> (1, N) on test images.
        below: the same of how much less often it is right than all T glimpses of the network that does not
            halt.
    """

    threshold: float | None
    valid_glimpses: float
    valid_below: float
    spent: dict[Cell, np.ndarray]
    right: dict[Cell, np.ndarray]
    below: dict[Cell, np.ndarray]


def enough(study: Study, rule: str, *, common: bool) -> Enough | None:
    """The cheapest way of a rule that is good enough; None: none is.

    Args:
        common: whether one threshold serves all networks.
    """
    if not common:
        return _cheapest_mean(study, rule)
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
    """By one threshold for networks that were trained alike."""
    thresholds = common_thresholds(rule, [network.valid for network in networks.values()])
    valid = {cell: outcomes(its.valid, rule, thresholds) for cell, its in networks.items()}
    at = _first_good(study, valid)
    if at is None:
        return None
    test = {cell: outcomes(its.test, rule, [thresholds[at]]) for cell, its in networks.items()}
    return _enough(study, float(thresholds[at]), {cell: its.take([at]) for cell, its in valid.items()}, test)


def _cheapest_mean(study: Study, rule: str) -> Enough | None:
    """By the same mean number for each network."""
    means = _numbers(study.steps)
    both = {cell: chosen(its, rule, "glimpses", means) for cell, its in study.of(rule).items()}
    at = _first_good(study, {cell: valid for cell, (valid, _) in both.items()})
    if at is None:
        return None
    valid, test = ({cell: its[part].take([at]) for cell, its in both.items()} for part in (0, 1))
    return _enough(study, None, valid, test)


def _first_good(study: Study, valid: Mapping[Cell, Outcomes]) -> int | None:
    """Of P ways the cheapest that is good enough on validation images; None: none is."""
    glimpses = _mean({cell: its.spent["glimpses"].mean(1) for cell, its in valid.items()})
    good = np.flatnonzero(_below(study, valid) <= TOLERANCE)  # NaN is not
    return int(good[glimpses[good].argmin()]) if len(good) else None


def _below(study: Study, valid: Mapping[Cell, Outcomes]) -> np.ndarray:
    """(P,) how much less accurate than all T, on validation images."""
    right = _mean({cell: its.right.mean(1) for cell, its in valid.items()})
    below: np.ndarray = _mean({cell: all_steps(study.cells[cell].valid).mean(1) for cell in valid}) - right
    return below


def _enough(
    study: Study, threshold: float | None, valid: Mapping[Cell, Outcomes], test: Mapping[Cell, Outcomes]
) -> Enough:
    return Enough(
        threshold,
        float(_mean({cell: its.spent["glimpses"].mean(1) for cell, its in valid.items()})[0]),
        float(_below(study, valid)[0]),
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
        return _numbers(looked[0].steps)
    every = sorted({value for its in looked for value in rule_of(rule).thresholds(its.predictions)})
    rows = np.linspace(0, len(every) - 1, min(COMMON, len(every))).round().astype(int)
    return [every[row] for row in rows]


def _numbers(steps: int) -> list[float]:
    """Mean numbers of glimpses from 1 to T."""
    return [1 + part / PARTS for part in range(PARTS * (steps - 1) + 1)]


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
