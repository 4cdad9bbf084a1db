"""A picture of robustness: for every corruption accuracy against severity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.drawing import figure_of
from data.errors import SettingsError
from data.files import write_atomically
from hardattn.robustness.measure import Robustness

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS, DPI = 4, 150
MARKERS = "osv^D"


def require_png(path: Path) -> None:
    """Raises SettingsError for what is no file of a picture."""
    if path.suffix.lower() != ".png" or path.is_dir():
        raise SettingsError(f"expected a picture FILE.png, found --out {path}; change it")


def draw_robustness(found: Sequence[Robustness], labels: Sequence[str], path: Path) -> Path:
    """Draws a panel for every corruption and in it a line for every run, whole or not at all.

    Args:
        found: of the same corruptions.
        labels: of the runs.
    """
    names = list(found[0].corruptions)
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = figure_of(2.4 * columns + 0.6, 2.2 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, name, found, labels)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    figure.supxlabel("severity", fontsize=8)
    figure.supylabel(f"{found[0].split} accuracy, %", fontsize=8)
    handles, shown = panels[0].get_legend_handles_labels()
    figure.legend(handles, shown, frameon=False, fontsize=7, ncols=3, loc="outside upper center")
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=DPI, format="png"))
    return path


def _panel(axes: Axes, name: str, found: Sequence[Robustness], labels: Sequence[str]) -> None:
    for number, (run, label) in enumerate(zip(found, labels, strict=True)):
        points = run.corruptions[name]
        middle = [100 * point.accuracy for point in points]
        below = [100 * (point.accuracy - point.low) for point in points]
        above = [100 * (point.high - point.accuracy) for point in points]
        severities = [point.severity for point in points]
        marker = MARKERS[number % len(MARKERS)]
        axes.errorbar(
            severities, middle, [below, above], marker=marker, markersize=3, linewidth=1, label=label
        )
    axes.set_title(name, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
