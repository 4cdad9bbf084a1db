"""A picture of a calibration: what designs predict beside what comes true, by glimpse and by place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from boed.calibration import CalibrationRow
from boed.calibration_table import caption
from data.drawing import figure_of
from data.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INTERVAL = 1.96  # standard errors to each side of a mean, 95 %


def draw_calibration(path: Path | str, rows: Sequence[CalibrationRow], split: str = "valid") -> None:
    """Writes a PNG: means by glimpse, then for each glimpse realised against predicted over places, in nats.

    Args:
        path: of the picture.
        rows: from `boed.measure_calibration`, of a split with this name.
    """
    figure = figure_of(4 + 2.2 * len(rows), 3.2)
    first, *others = figure.subplots(1, 1 + len(rows), width_ratios=[1.8, *[1] * len(rows)])
    _draw_glimpses(first, rows)
    for axes, row in zip(others, rows, strict=True):
        _draw_places(axes, row)
    others[0].set_ylabel("realised, nats", fontsize=8)
    figure.suptitle(caption(rows, split), fontsize=9)
    write_atomically(Path(path), lambda beside: figure.savefig(beside, dpi=130, format="png"))


def _draw_glimpses(axes: Axes, rows: Sequence[CalibrationRow]) -> None:
    """Predicted and realised at the chosen places, and H before, by t; bars: 95 % of their difference."""
    steps = [row.step for row in rows]
    axes.plot(steps, [row.entropy for row in rows], "k:", marker=".", label="H of q before")
    axes.plot(steps, [row.predicted for row in rows], marker="o", label="predicted (EPE)")
    axes.errorbar(
        steps,
        [row.realised for row in rows],
        [INTERVAL * row.error for row in rows],
        marker="s",
        capsize=3,
        label="realised; 95 % of the difference",
    )
    axes.set(xticks=steps, ylim=(0, None))
    axes.set_xlabel("glimpse t", fontsize=8)
    axes.set_ylabel("nats", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(frameon=False, fontsize=7)


def _draw_places(axes: Axes, row: CalibrationRow) -> None:
    """Means of tenths of all pairs of image and place, and the diagonal, where predictions are true."""
    most = max(max(pair) for pair in row.bins) if row.bins else 1.0
    axes.plot([0, most], [0, most], color="0.6", linewidth=1)
    axes.plot(*zip(*row.bins, strict=True), "o", markersize=4)
    axes.set_title(f"places, t = {row.step}: slope {row.slope:.2f}, r {row.correlation:.2f}", fontsize=7)
    axes.set_xlabel("predicted, nats", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.set_aspect("equal")
