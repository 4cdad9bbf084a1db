"""A picture of the curves in a log, and its pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.drawing import figure_of
from data.logs import STEP, metrics_of

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

COLUMNS = 3


def curves_of(log: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[int], list[float]]]:
    """Metric -> the iterations at which a log has it, and its values.

    >>> curves_of([{"iteration": 0, "nll": 0.7}, {"iteration": 100, "nll": 0.5, "loss": 0.6}])
    {'nll': ([0, 100], [0.7, 0.5]), 'loss': ([100], [0.6])}
    """
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for line in log:
        for name, value in metrics_of(line).items():
            steps, values = curves.setdefault(name, ([], []))
            steps.append(line[STEP])
            values.append(value)
    return curves


def draw_curves(log: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """A panel for each metric of a log against the iteration."""
    curves = curves_of(log)
    columns = min(COLUMNS, max(1, len(curves)))
    rows = max(1, math.ceil(len(curves) / columns))
    figure = figure_of(2.8 * columns, 2.1 * rows + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (name, (steps, values)) in zip(panels, curves.items(), strict=False):
        axes.plot(steps, values)
        axes.set_title(name, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    figure.suptitle(title, fontsize=9)
    return figure


def pixels_of(figure: Figure) -> np.ndarray:
    """(H, W, 3) uint8 of a figure of `data.drawing.figure_of`."""
    import numpy as np

    canvas: Any = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
