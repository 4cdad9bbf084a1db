"""How wide affine crops are and where they lie, over many images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from data.geometry import Geometry
from hardattn.model.clues import affine_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 20
RANGES = {"s": (0.0, 1.0), "x": (-1.0, 1.0), "y": (-1.0, 1.0)}


def crop_histograms(locations: Tensor, geometry: Geometry) -> list[dict[str, list[float]]]:
    """For every glimpse after the whole image the share of images in each of 20 bins of s, x and y.

    Nothing of another sensor, or of one glimpse alone.

    Args:
        locations: (B, T, 3) places.
        geometry: of them.

    >>> from data.geometry import affine_crops
    >>> crops = affine_crops(Geometry(20, 20, 1, glimpse_size=5))
    >>> found = crop_histograms(torch.tensor([[[0, 0, 20], [5, 5, 10]]]), crops)
    >>> len(found), found[0]["s"].index(1.0), found[0]["x"].index(1.0)
    (1, 10, 10)
    """
    if not geometry.affine or locations.shape[1] == 1:
        return []
    affine = affine_of(geometry.centres(locations[:, 1:].double()), geometry.grid())
    return [
        {name: _shares(each[:, n], *RANGES[name]) for n, name in enumerate(RANGES)}
        for each in affine.unbind(1)
    ]


def _shares(values: Tensor, low: float, high: float) -> list[float]:
    """(20,) share of values (B,) in each bin of a range; those on its ends are inside."""
    number = (
        ((values - low) / (high - low) * BINS + 1e-6).long().clamp(0, BINS - 1)
    )  # the edge of a bin is its own
    return (torch.bincount(number, minlength=BINS) / len(values)).tolist()


def draw_crops(figure: Figure, runs: Sequence[dict[str, Any]]) -> None:
    """A row for every run, a column for s, x and y: their histograms, a line for every glimpse.

    The last column has the accuracy after every glimpse.
    """
    figure.set_size_inches(10.4, 2.2 * len(runs) + 0.4)
    panels = figure.subplots(len(runs), len(RANGES) + 1, squeeze=False)
    for row, run in enumerate(runs):
        _accuracy(panels[row, -1], run["evaluation"]["accuracy_at"])
        for axes, (name, (low, high)) in zip(panels[row], RANGES.items(), strict=False):
            for t, shares in enumerate(run["crops"], start=2):
                axes.stairs(shares[name], torch.linspace(low, high, BINS + 1).tolist(), label=f"t = {t}")
            axes.set(xlabel=name, ylabel="share of images" if name == "s" else "", title=run["label"])
    panels[0, 0].legend(frameon=False, fontsize=7)


def _accuracy(axes: Axes, accuracy_at: Mapping[str, float]) -> None:
    times = [int(t) for t in accuracy_at]
    axes.plot(times, [100 * share for share in accuracy_at.values()], "o-", markersize=3.5, linewidth=1.2)
    axes.set(xlabel="glimpses", ylabel="test accuracy, %", xticks=times)
