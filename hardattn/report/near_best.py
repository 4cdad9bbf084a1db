"""Bars of how many iterations trainings take until near their best validation accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hardattn.training.convergence import NEAR_BEST, near_best_accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {True: "C0", False: "C7"}
NAMES = {True: "supervised by sequences", False: "without supervision"}


@dataclass(frozen=True)
class Bar:
    """One run.

    Attributes:
        label: its name.
        supervised: whether it imitates sequences.
        iterations: until near its best.
        seconds: the same in wall-clock time.
        best: its best validation accuracy.
    """

    label: str
    supervised: bool
    iterations: int
    seconds: float
    best: float


def bars_of(task: dict[str, Any]) -> list[Bar]:
    """A bar for every hard-attention network of a task that has been trained."""
    bars = []
    for run in task["runs"]:
        if run["sensor"] is not None and run["log"]:
            iterations, seconds, best = near_best_accuracy(run["log"])
            supervised = run["supervised_images"] > 0
            bars.append(Bar(run["label"], supervised, iterations, seconds, best))
    return bars


def draw_near_best(figure: Figure, bars: Sequence[Bar], title: str) -> None:
    """A bar for every run, coloured by whether it is supervised, with its seconds and best accuracy."""
    figure.set_size_inches(8, 0.45 * len(bars) + 1.3)
    axes = figure.add_subplot()
    for supervised in (True, False):
        own = [number for number, bar in enumerate(bars) if bar.supervised == supervised]
        lengths = [bars[number].iterations for number in own]
        if own:
            axes.barh(own, lengths, color=COLOURS[supervised], height=0.6, label=NAMES[supervised])
    for number, bar in enumerate(bars):
        text = f" {bar.iterations} ({bar.seconds:.0f} s); best {100 * bar.best:.1f} %"
        axes.text(bar.iterations, number, text, va="center", fontsize=7)
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(1, *(bar.iterations for bar in bars)))
    near = f"within {100 * NEAR_BEST:g} point of the run's best validation accuracy"
    axes.set_xlabel(f"iterations until the first check {near}", fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=7, loc="outside right center")
