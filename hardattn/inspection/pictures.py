"""Pictures of sweeps: the loss along each, and its derivative beside the finite difference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from data.drawing import figure_of
from data.files import write_atomically
from hardattn.inspection.inspect import Inspection
from hardattn.inspection.sweeps import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT, DPI = 9.0, 4.8, 150


def picture_file(run_folder: Path, inspection: Inspection) -> Path:
    """Where the picture of an inspection lies, beside the weights of its run."""
    return run_folder / f"inspect-{inspection.image}-glimpse-{inspection.glimpse}.png"


def draw_inspection(inspection: Inspection, path: Path) -> Path:
    """Draws the sweeps of one image, a column for each of s, x and y, whole or not at all.

    Above the loss, below its derivative by autograd and by finite differences; a line where the network is.
    """
    figure = figure_of(WIDTH, HEIGHT)
    above, below = figure.subplots(2, len(inspection.sweeps), sharex="col")
    for column, (axis, sweep) in enumerate(inspection.sweeps.items()):
        _loss(above[column], sweep)
        _derivatives(below[column], sweep)
        below[column].set_xlabel(axis)
    above[0].set_ylabel("loss, nats")
    below[0].set_ylabel("derivative, nats")
    below[0].legend(frameon=False, fontsize=7)
    figure.suptitle(
        f"{Path(inspection.run).name}: image {inspection.image}, glimpse {inspection.glimpse}",
        fontsize=9,
        parse_math=False,
    )
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=DPI, format="png"))
    return path


def _loss(axes: Axes, sweep: Sweep) -> None:
    axes.plot(sweep.curve.values.cpu(), sweep.curve.losses.cpu(), ".-", markersize=3, linewidth=1)
    _chosen(axes, sweep)


def _derivatives(axes: Axes, sweep: Sweep) -> None:
    values = sweep.curve.values.cpu()
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.plot(values, sweep.curve.derivatives.cpu(), ".-", markersize=3, linewidth=1, label="autograd")
    axes.plot(values[1:-1], sweep.curve.differences.cpu(), linewidth=1, label="finite difference")
    _chosen(axes, sweep)


def _chosen(axes: Axes, sweep: Sweep) -> None:
    """A line at the value that the network chose."""
    axes.axvline(sweep.chosen, color="0.4", linestyle="--", linewidth=1, label="chosen")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
