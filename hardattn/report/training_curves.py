"""Pictures of trainings, check by check: NLL and accuracy of the validation images, the terms of the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = Mapping[str, Any]
COLUMNS = 3


def draw_validation(figure: Figure, task: dict[str, Any], against: str) -> None:
    """NLL above accuracy of every run, against "iteration" or "seconds"."""
    figure.set_size_inches(8, 6)
    nll, accuracy = figure.subplots(2, 1, sharex=True)
    _curves(nll, task, against, lambda line: line["nll"])
    _curves(accuracy, task, against, lambda line: _percent(line["accuracy"]))
    nll.set(ylabel="validation NLL, nats", title=task["name"])
    accuracy.set(xlabel=f"{against} of training", ylabel="validation accuracy, %")
    _legend(figure, nll)


def term_names(task: dict[str, Any]) -> list[str]:
    """The terms that the loss of some run of a task has."""
    lines = (line for run in task["runs"] for line in run["log"])
    return list(dict.fromkeys(name for line in lines for name in line["terms"]))


def draw_terms(figure: Figure, task: dict[str, Any]) -> None:
    """A panel for each term of the loss, weighted as it is minimised, against the iteration.

    A term is that of the last batch before a check, not of the validation images.
    """
    names = term_names(task)
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure.set_size_inches(2.8 * columns + 1.6, 2.1 * rows + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, name in zip(panels, names, strict=False):
        _curves(axes, task, "iteration", lambda line, name=name: line["terms"].get(name))  # type: ignore[misc]
        axes.set_title(name, fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    figure.suptitle(f"{task['name']}: weighted terms of the loss, by iteration", fontsize=9)
    _legend(figure, panels[0])


def _curves(axes: Axes, task: dict[str, Any], against: str, read: Callable[[Line], float | None]) -> None:
    """A curve for every run, of the checks at which there is a value."""
    for number, run in enumerate(task["runs"]):
        points = [(line[against], read(line)) for line in run["log"]]
        found = [(x, value) for x, value in points if value is not None]
        axes.plot(
            [x for x, _ in found], [value for _, value in found], label=run["label"], color=f"C{number % 10}"
        )
    axes.spines[["top", "right"]].set_visible(False)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _legend(figure: Figure, axes: Axes) -> None:
    """One for all panels, beside them: every panel has the same runs."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=7, loc="outside right center")
