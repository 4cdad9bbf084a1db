"""A frontier as a picture, as a table, and as a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from data.drawing import figure_of
from data.files import write_atomically
from hardattn.experiments.frontier.grid import ATTENTION
from hardattn.experiments.frontier.pareto import FrontierPoint, frontiers, within
from hardattn.experiments.frontier.sweep import Frontier

BUDGETS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 10.0)
"""MFLOPs per image at which families are compared."""
GOAL = 3.0  # MFLOPs up to which hard attention is to be ahead
SHARE = 0.1  # of the pixels that it may see


def at_budgets(chosen: Mapping[str, Sequence[FrontierPoint]]) -> dict[str, list[float | None]]:
    """Family -> test accuracy at each of `BUDGETS` of the point that validation chooses, None without one."""
    points = {family: [within(frontier, budget) for budget in BUDGETS] for family, frontier in chosen.items()}
    return {
        family: [point.test_accuracy if point else None for point in row] for family, row in points.items()
    }


def behind(table: Mapping[str, Sequence[float | None]]) -> list[float]:
    """The budgets up to `GOAL` at which some rival's accuracy is above that of hard attention.

    Where hard attention has no point yet, a rival that has one is ahead.

    >>> behind({"attention": [None, 0.9, 0.9], "cnn": [0.8, 0.8, 0.9]})
    [0.05]
    """
    own = table.get(ATTENTION, [None] * len(BUDGETS))
    rivals = [row for family, row in table.items() if family != ATTENTION]
    columns = zip(*rivals, strict=True)
    best = [max((value for value in column if value is not None), default=0.0) for column in columns]
    pairs = zip(BUDGETS, own, best, strict=False)
    return [budget for budget, accuracy, rival in pairs if budget <= GOAL and (accuracy or 0.0) < rival]


def as_table(table: Mapping[str, Sequence[float | None]]) -> str:
    """Accuracy in % by family and budget, for people."""
    head = f"{'MFLOPs up to':<16}" + "".join(f"{budget:>7g}" for budget in BUDGETS)
    lines = [
        f"{family:<16}" + "".join(f"{'' if value is None else f'{100 * value:.1f}':>7}" for value in row)
        for family, row in table.items()
    ]
    return "\n".join([head, *lines])


def verdict(table: Mapping[str, Sequence[float | None]], share: float) -> str:
    """Whether hard attention is ahead where it is meant to be.

    Args:
        share: the largest of the pixels of an image that it sees.
    """
    lost = behind(table)
    where = f"behind a rival at {', '.join(map(str, lost))}" if lost else "behind no rival"
    enough = "within" if share <= SHARE else "above"
    return (
        f"hard attention up to {GOAL:g} MFLOPs: {where}; it sees {100 * share:.1f} % of the pixels, "
        f"{enough} {100 * SHARE:g} %"
    )


def pixel_share(result: Frontier) -> float:
    """The largest share of an image's pixels that a point of the frontier of hard attention sees."""
    chosen = frontiers(result.points).get(ATTENTION, [])
    return max((point.pixels for point in chosen), default=0.0) / result.image_pixels


def as_text(result: Frontier) -> str:
    """The points of every frontier, and the families side by side."""
    chosen = frontiers(result.points)
    lines = [
        f"{result.dataset} {result.target}, seed {result.seed}: test accuracy of what validation chooses"
    ]
    lines += [f"{'MFLOPs':>8} {'pixels':>7} {'valid. %':>9} {'test %':>7}  {'95 %':<13} network"]
    for point in (point for frontier in chosen.values() for point in frontier):
        ends = f"{100 * point.test_low:.1f} to {100 * point.test_high:.1f}"
        rule = f", {point.rule} {point.threshold:.4g}"
        lines.append(
            f"{point.mflops:>8.3f} {point.pixels:>7.0f} {100 * point.valid_accuracy:>9.1f} "
            f"{100 * point.test_accuracy:>7.1f}  {ends:<13} {point.name}{rule}"
        )
    table = at_budgets(chosen)
    return "\n".join([*lines, "", as_table(table), verdict(table, pixel_share(result))])


def draw(result: Frontier, path: Path) -> None:
    """Test accuracy against MFLOPs: all points, and a line through those that validation chooses."""
    figure = figure_of(7, 4.5)
    axes = figure.add_subplot()
    for number, (family, frontier) in enumerate(frontiers(result.points).items()):
        every = [point for point in result.points if point.family == family]
        colour, own = f"C{number % 10}", family == ATTENTION
        axes.scatter(*_places(every), s=9, color=colour, alpha=0.35, linewidths=0)
        axes.plot(*_places(frontier), marker="o", markersize=4, color=colour, label=family, lw=2 + own)
    axes.set(xscale="log", xlabel="MFLOPs per image", ylabel="accuracy on test images, %")
    low, high = axes.get_xlim()
    shown = [budget for budget in BUDGETS if low <= budget <= high]
    axes.set_xticks(shown, [f"{budget:g}" for budget in shown])
    axes.minorticks_off()
    axes.set_title(f"{result.dataset} {result.target}", fontsize=10, parse_math=False)
    axes.legend(frameon=False, fontsize=8)
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=150, format="png"))


def _places(points: Sequence[FrontierPoint]) -> tuple[list[float], list[float]]:
    return [point.mflops for point in points], [100 * point.test_accuracy for point in points]
