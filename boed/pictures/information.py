"""A picture of where there is something to know, above where glimpses were taken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from boed.pictures.glimpses import draw_image
from boed.pictures.sequences import DOT, best_by_centre
from boed.search.heuristics import linear_information
from data.attended import attended_by_any, attended_share
from data.dataset import Split
from data.drawing import figure_of, share_bar, share_image
from data.files import write_atomically
from data.geometry import Geometry
from data.places import is_whole
from data.sequences import Sequences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL = 1.3  # inches
FADED = 0.35


@dataclass(frozen=True)
class InformationMaps:
    """What glimpses tell of the label, and where they were taken, of B images with T glimpses each.

    Attributes:
        alone: (L,) nats of mutual information between the label and a single glimpse at each place of the
            grid, by a ridge regression, see `boed.search.proposal.ridge_information`.
        grid: (L, 3) these places.
        gains: (T, M) nats that q expected of a glimpse at each candidate, on average over the images that
            had not looked there; NaN where none was scored.
        candidates: (M, 3) these places.
        any_step: (H, W) share of the images that attend each pixel with any glimpse.
        by_step: (T, H, W) the same of each glimpse.
        images: B.
    """

    alone: Tensor
    grid: Tensor
    gains: Tensor
    candidates: Tensor
    any_step: Tensor
    by_step: Tensor
    images: int


def information_maps(
    sequences: Sequences, candidates: Tensor, train: Split, geometry: Geometry, classes: int
) -> InformationMaps:
    """The maps of sequences of B images.

    Args:
        sequences: of these images.
        candidates: (M, 3) places that their maps are over; M may be 0.
        train: images and labels that the information of a single glimpse is measured on.
        geometry: of sensor and grid.
        classes: K.
    """
    places = sequences.locations
    return InformationMaps(
        linear_information(train, geometry, classes).cpu(),
        geometry.grid().locations,
        mean_gains(sequences),
        candidates,
        attended_by_any(places, geometry.image_size),
        torch.stack([attended_share(each, geometry.image_size) for each in places.unbind(1)]),
        len(places),
    )


def mean_gains(sequences: Sequences) -> Tensor:
    """(T, M) H before each glimpse less the EPE of every candidate, in nats, on average over the images.

    Images that have looked at a candidate already, or did not score it, are left out of its mean.

    >>> entropy = torch.tensor([[2.0, 1.0], [1.5, 1.0]])
    >>> epe = torch.tensor([[[1.0, 0.5]], [[1.0, torch.inf]]])
    >>> mean_gains(Sequences(torch.zeros(2, 1, 3), epe[..., 0], entropy, epe)).tolist()
    [[0.75, 1.5]]
    """
    gains = sequences.entropy[:, :-1, None].double() - sequences.epe_map.double()  # (B, T, M)
    return gains.where(gains.isfinite(), torch.nan).nanmean(0)


def draw_information(path: Path, maps: InformationMaps, mean: np.ndarray, geometry: Geometry) -> None:
    """Writes a PNG: information of the places above, and below on the same axes the share that attends.

    On the left of a single glimpse, before anything is seen, and of all glimpses together; beside it of each
    step, as q expected it. Where there are several sides, each centre has the value of its best square.

    Args:
        mean: (H, W, C) uint8 the mean image.
    """
    steps = len(maps.by_step)
    figure = figure_of(PANEL * 1.35 * (1 + steps) + 0.5, 2 * PANEL + 0.9)
    above, below = figure.subplots(2, 1 + steps, squeeze=False, sharex=True, sharey=True)
    for axes in (*above, *below):
        axes.set(xticks=[], yticks=[])
    _draw_places(above[0], maps.alone, maps.grid, mean, geometry)
    above[0].set_title("a glimpse alone, closed form", fontsize=8)
    for step in range(steps):
        if bool(maps.gains[step].isfinite().any()):
            _draw_places(above[1 + step], maps.gains[step], maps.candidates, mean, geometry)
            above[1 + step].set_title(f"glimpse {step + 1}, as q expects", fontsize=8)
        else:
            above[1 + step].set_axis_off()
    for axes, shares, title in zip(
        below,
        (maps.any_step, *maps.by_step),
        ("any glimpse", *(f"glimpse {step + 1}" for step in range(steps))),
        strict=True,
    ):
        drawn = share_image(axes, shares.numpy())
        axes.set_title(title, fontsize=8)
    share_bar(figure, drawn, below.tolist(), f"of {maps.images} images, %")
    above[0].set_ylabel("information, nats", fontsize=8)
    below[0].set_ylabel("glimpses taken", fontsize=8)
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=110, format="png"))


def _draw_places(axes: Axes, values: Tensor, places: Tensor, mean: np.ndarray, geometry: Geometry) -> None:
    """The places coloured by their values, with a colour bar, on the faded mean image."""
    shown = values.isfinite() & (~is_whole(places, geometry) | bool(geometry.sides))
    if not bool(shown.any()):
        return
    centres, best = best_by_centre(values[shown], places[shown], geometry)
    draw_image(axes, mean, alpha=FADED)
    axes.set_axis_on()
    rows, cols = centres.T
    apart = 72 * PANEL / max(len(rows.unique()), len(cols.unique()))  # points from one place to the next
    size = min(2.5 * DOT, (0.8 * apart) ** 2)
    dots = axes.scatter(cols, rows, c=best, cmap="viridis", s=size, marker="s", linewidths=0)
    axes.figure.colorbar(dots, ax=axes, fraction=0.046, pad=0.03).ax.tick_params(labelsize=6)
