"""Bars of how many iterations trainings take until near their best validation accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hardattn.training.convergence import NEAR_BEST, first_near, near_best_accuracy

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
        common: iterations until near the lowest best of all bars, which all of them reach.
    """

    label: str
    supervised: bool
    iterations: int
    seconds: float
    best: float
    common: int


def bars_of(task: dict[str, Any]) -> list[Bar]:
    """A bar for every hard-attention network of a task that has been trained."""
    runs = [run for run in task["runs"] if run["sensor"] is not None and run["log"]]
    found = [near_best_accuracy(run["log"]) for run in runs]
    lowest = min((best for *_, best in found), default=0.0)
    return [
        Bar(run["label"], run["supervised_images"] > 0, *its, first_near(run["log"], lowest)["iteration"])
        for run, its in zip(runs, found, strict=True)
    ]


def draw_near_best(figure: Figure, bars: Sequence[Bar], title: str) -> None:
    """A bar for every run, coloured by whether it is supervised, with its seconds and best accuracy.

    A mark within it is where the run comes near the lowest best of all, so that runs of different bests are
    compared at one accuracy.
    """
    figure.set_size_inches(8, 0.45 * len(bars) + 1.3)
    axes = figure.add_subplot()
    for supervised in (True, False):
        own = [number for number, bar in enumerate(bars) if bar.supervised == supervised]
        lengths = [bars[number].iterations for number in own]
        if own:
            axes.barh(own, lengths, color=COLOURS[supervised], height=0.6, label=NAMES[supervised])
    lowest = min(bar.best for bar in bars)
    level = f"near {100 * lowest:.1f} %, the lowest best"
    axes.plot([bar.common for bar in bars], range(len(bars)), "k|", markersize=14, label=level)
    for number, bar in enumerate(bars):
        text = f" {bar.iterations} ({bar.seconds:.0f} s); best {100 * bar.best:.1f} %; mark at {bar.common}"
        axes.text(bar.iterations, number, text, va="center", fontsize=7)
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.6 * max(1, *(bar.iterations for bar in bars)))
    near = f"within {100 * NEAR_BEST:g} point of the run's best validation accuracy"
    axes.set_xlabel(f"iterations until the first check {near}", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=7, loc="outside right center")
