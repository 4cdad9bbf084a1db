"""Panels of images in the pictures of a report, and where in them pixels are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BESIDE: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 7}
"""A text at the left of a row."""
INSIDE: dict[str, Any] = {"color": "gold", "fontsize": 7, "ha": "center", "va": "center"}
"""The number of a glimpse in its square."""


def image_panels(figure: Figure, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) panels without axes, in a figure that is made as large as they need."""
    figure.set_size_inches(1.5 * columns + 0.8, 1.65 * rows + 0.2)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    return panels


def extent_of(task: dict[str, Any]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of an image, whose pixel (0, 0) begins at its upper left."""
    return (0, task["size"]["width"], task["size"]["height"], 0)
