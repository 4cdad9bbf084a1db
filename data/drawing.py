"""Figures that are drawn without a screen, whatever backend the surroundings name."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

BACKEND = "MPLBACKEND"
TICKS = (0, 1, 5, 10, 25, 50, 75, 100)  # %


def figure_of(width: float, height: float) -> Figure:
    """An empty figure of so many inches; texts in it are taken as they are, `$` and `_` too.

    >>> figure_of(2, 1).get_size_inches().tolist()
    [2.0, 1.0]
    """
    _import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _import_matplotlib() -> None:
    """Imports it although MPLBACKEND may name a backend that is not there, as a notebook's elsewhere."""
    try:
        import matplotlib
    except ValueError:
        for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[module]  # half imported
        named = os.environ.pop(BACKEND, None)
        try:
            import matplotlib  # noqa: F401
        finally:
            if named is not None:
                os.environ[BACKEND] = named


def share_image(axes: Axes, share: np.ndarray, most: float = 1.0, **look: Any) -> AxesImage:
    """Shares (H, W) as an image; colours go by their root, so that what is rare can be seen.

    Args:
        most: the largest share of the scale.
        look: more for `imshow`.
    """
    from matplotlib.colors import PowerNorm

    norm = PowerNorm(0.5, vmin=0, vmax=100 * most)
    return axes.imshow(100 * share, cmap="inferno", norm=norm, **look)


def share_bar(figure: Figure, drawn: AxesImage, panels: Sequence[Axes], label: str) -> Colorbar:
    """A colour bar of `share_image` beside panels, in %."""
    bar = figure.colorbar(drawn, ax=list(panels), fraction=0.02, pad=0.01)
    bar.set_label(label, fontsize=7)
    bar.set_ticks([tick for tick in TICKS if tick <= drawn.get_clim()[1]])
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=6)
    return bar
