"""A frontier as a table, and as a sentence: of families side by side, at budgets, by either count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hardattn.experiments.frontier.names import ATTENTION, looks, own_of
from hardattn.experiments.frontier.pareto import (
    BINNING,
    COUNTS,
    FrontierPoint,
    choices,
    frontiers,
)
from hardattn.experiments.frontier.result import Frontier

BUDGETS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 10.0)
"""MFLOPs per image at which families are compared."""
GOAL = 3.0  # MFLOPs up to which hard attention is to be ahead
SHARE = 0.1  # of the pixels that it may see
COUNTED = {BINNING: "a sensor that bins", "software": "averages added up in software"}
Table = Mapping[str, Sequence[float | None]]


def at_budgets(points: Sequence[FrontierPoint], count: str = BINNING) -> dict[str, list[float | None]]:
    """Family, or several together -> test accuracy at each of `BUDGETS` of what validation chooses.

    The mean over seeds; None where a seed has no point so cheap.
    """
    found = choices(points, count)
    return {name: [choice.accuracy(budget) for budget in BUDGETS] for name, choice in found.items()}


def behind(table: Table, most: float = GOAL) -> list[float]:
    """The budgets up to `most` at which some rival's accuracy is above that of hard attention.

    Where hard attention has no point yet, a rival that has one is ahead.

    >>> behind({"attention": [None, 0.9, 0.9], "cnn": [0.8, 0.8, 0.9]})
    [0.02]
    """
    own = table.get(own_of(table), [None] * len(BUDGETS))
    rivals = [row for family, row in table.items() if not looks(family)]
    columns = zip(*rivals, strict=True)
    best = [max((value for value in column if value is not None), default=0.0) for column in columns]
    pairs = zip(BUDGETS, own, best, strict=False)
    return [budget for budget, value, rival in pairs if budget <= most and (value or 0.0) < rival]


def leaders(
    tasks: Sequence[Sequence[FrontierPoint]], count: str = BINNING, most: float = BUDGETS[-1]
) -> list[tuple[float, str]]:
    """Who is ahead from which budget on: where the lines of hard attention and of the best rival cross.

    Mean over tasks of the test accuracy of what validation chooses, at every budget at which that changes.

    Args:
        tasks: the points of each.
        most: MFLOPs.
    """
    found = [choices(points, count) for points in tasks]
    names = [name for name in found[0] if all(name in own for own in found)]
    budgets = sorted({cost for own in found for name in names for cost in own[name].costs(most)})
    changes, own = list[tuple[float, str]](), own_of(names)
    for budget in budgets:
        row = {name: _over_tasks([each[name].accuracy(budget) for each in found]) for name in names}
        best = max((name for name in names if not looks(name)), key=lambda name: row[name], default=own)
        leader = own if row.get(own, 0.0) >= row.get(best, 0.0) else best
        if row.get(leader, 0.0) and (not changes or changes[-1][1] != leader):
            changes.append((budget, leader))
    return changes


def _over_tasks(values: Sequence[float | None]) -> float:
    """Their mean; 0 where a task has none, so that it leads nowhere."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else 0.0


def as_table(table: Table) -> str:
    """Accuracy in % by family and budget, for people."""
    wide = max(16, *(len(name) + 1 for name in table)) if table else 16
    head = f"{'MFLOPs up to':<{wide}}" + "".join(f"{budget:>7g}" for budget in BUDGETS)
    lines = [
        f"{family:<{wide}}" + "".join(f"{'' if value is None else f'{100 * value:.1f}':>7}" for value in row)
        for family, row in table.items()
    ]
    return "\n".join([head, *lines])


def verdict(tables: Mapping[str, Table], share: float, most: float = GOAL) -> str:
    """Whether hard attention is ahead where it is meant to be: at every budget only if by both counts.

    Args:
        tables: by count, see `at_budgets`.
        share: the largest of the pixels of an image that it sees.
        most: MFLOPs up to which.
    """
    if not any(looks(family) for table in tables.values() for family in table):
        return "none of these networks looks"
    lost = {count: behind(table, most) for count, table in tables.items()}
    if not any(lost.values()):
        where = f"behind no rival, by {' and '.join(tables)}"
    else:
        where = "; ".join(
            f"by {count} behind a rival at {', '.join(f'{budget:g}' for budget in budgets)}"
            if budgets
            else f"by {count} behind none"
            for count, budgets in lost.items()
        )
    enough = "within" if share <= SHARE else "above"
    own = own_of(next(iter(tables.values())))
    name = f"hard {ATTENTION}" if own == ATTENTION else own
    return (
        f"{name} up to {most:g} MFLOPs: {where}; it sees {100 * share:.1f} % of the pixels, "
        f"{enough} {100 * SHARE:g} %"
    )


def crossings(changes: Sequence[tuple[float, str]]) -> str:
    """Who is ahead between which budgets, in words.

    >>> crossings([(0.01, "cnn"), (0.25, "attention")])
    'cnn from 0.01 to 0.25 MFLOPs, attention from 0.25 on'
    """
    parts = [f"{name} from {start:.3g} to {end:.3g} MFLOPs" for (start, name), (end, _) in pairwise(changes)]
    return ", ".join([*parts, *(f"{name} from {start:.3g} on" for start, name in changes[-1:])])


def pixel_share(result: Frontier) -> float:
    """The largest share of an image's pixels that a point of the frontier of hard attention sees."""
    own = [point for point in result.points if looks(point.family)]
    chosen = [p for seed in result.seeds for p in _chosen([q for q in own if q.seed == seed])]
    return max((point.pixels for point in chosen), default=0.0) / result.image_pixels


def _chosen(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    return [point for frontier in frontiers(points).values() for point in frontier]


def as_text(result: Frontier) -> str:
    """The points of every frontier of the first seed, and the families side by side."""
    seeds = ", ".join(map(str, result.seeds))
    lines = [
        f"{result.dataset} {result.target}, seed {seeds}: test accuracy of what validation chooses",
        f"{'MFLOPs':>8} {'pixels':>7} {'valid. %':>9} {'test %':>7}  {'95 %':<13} network",
    ]
    for point in _chosen(result.of_seed(result.seeds[0])):
        ends = f"{100 * point.test_low:.1f} to {100 * point.test_high:.1f}"
        rule = f", {point.rule} {point.threshold:.4g}"
        lines.append(
            f"{point.mflops:>8.3f} {point.pixels:>7.0f} {100 * point.valid_accuracy:>9.1f} "
            f"{100 * point.test_accuracy:>7.1f}  {ends:<13} {point.name}{rule}"
        )
    tables = {count: at_budgets(result.points, count) for count in COUNTS}
    for count, table in tables.items():
        ahead = crossings(leaders([result.points], count))
        lines += ["", f"{COUNTED[count]}: {ahead}", as_table(table)]
    return "\n".join([*lines, verdict(tables, pixel_share(result))])
