"""Frontiers as a picture: by either count, a line for each family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.drawing import figure_of
from data.files import write_atomically
from hardattn.experiments.frontier.names import looks
from hardattn.experiments.frontier.pareto import COUNTS, FrontierPoint, choices
from hardattn.experiments.frontier.result import Frontier
from hardattn.experiments.frontier.summary import BUDGETS, COUNTED

Line = Sequence[tuple[float, float]]
"""MFLOPs, and accuracy in %."""


def draw(result: Frontier, path: Path) -> None:
    """Test accuracy against MFLOPs of what validation chooses, mean over seeds, by either count."""
    lines = {count: lines_of(result.points, count) for count in COUNTS}
    draw_lines(lines, f"{result.dataset} {result.target}", path)


def lines_of(points: Sequence[FrontierPoint], count: str) -> dict[str, Line]:
    """Family -> where its line changes."""
    found = dict[str, Line]()
    families = dict.fromkeys(point.family for point in points)
    for name, choice in choices(points, count).items():
        values = [(budget, choice.accuracy(budget)) for budget in choice.costs(BUDGETS[-1])]
        met = [(budget, 100 * value) for budget, value in values if value is not None]
        if name in families and met:
            found[name] = [step for at, step in enumerate(met) if at == 0 or step[1] != met[at - 1][1]]
    return found


def draw_lines(lines: Mapping[str, Mapping[str, Line]], title: str, path: Path) -> None:
    """One panel for each count; what looks is drawn through, and thicker."""
    figure = figure_of(6 * len(lines), 5)
    names = list(dict.fromkeys(name for own in lines.values() for name in own))
    for at, (count, own) in enumerate(lines.items(), start=1):
        axes = figure.add_subplot(1, len(lines), at)
        for name, line in own.items():
            axes.plot(*zip(*line, strict=True), label=name, **_style(names, name))
        _scaled(axes)
        axes.set_title(f"{title}: {COUNTED[count]}", fontsize=9, parse_math=False)
    axes.legend(frameon=False, fontsize=7, loc="lower right")
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=150, format="png"))


def _style(names: Sequence[str], name: str) -> dict[str, Any]:
    own = looks(name)
    number = [each for each in names if looks(each) == own].index(name)
    return {
        "color": f"C{number % 10}",
        "linestyle": "-" if own else "--" if number < 10 else ":",
        "linewidth": 2.2 if own else 1.2,
        "marker": "o" if own else "s",
        "markersize": 4 if own else 3,
    }


def _scaled(axes: Any) -> None:
    axes.set(xscale="log", xlabel="MFLOPs per image", ylabel="accuracy on test images, %")
    axes.set_ylim(top=min(axes.get_ylim()[1], 101))  # a margin above 100 %, and no more
    low, high = axes.get_xlim()
    shown = [budget for budget in BUDGETS if low <= budget <= high]
    axes.set_xticks(shown, [f"{budget:g}" for budget in shown])
    axes.minorticks_off()
