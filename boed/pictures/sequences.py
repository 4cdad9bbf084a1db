"""Pictures of sequences: glimpses drawn on images, what they show, and the maps that chose them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from boed.pictures.glimpses import draw_image, draw_squares, row_of
from data.dataset import Split
from data.drawing import figure_of
from data.files import write_atomically
from data.geometry import Geometry
from data.places import is_whole
from data.sequences import Sequences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOT = 22  # size of a place in a map


def draw_sequences(
    path: Path,
    split: Split,
    ids: Sequence[int],
    sequences: Sequences,
    candidates: Tensor,
    geometry: Geometry,
) -> None:
    r"""Writes a PNG: for each image its numbered glimpses and the map of every step, below what was seen.

    Maps are of the information that a glimpse is expected to gain, in nats,

    $\mathrm{EIG}(l) = H[q(\theta \mid y_{<t})] - \mathrm{EPE}(l)$

    as Harvey, Teng and Wood (arXiv 1906.05462) draw them, with the EPE on the other side of the colour bar.

    Args:
        split: holds the images `ids` (B).
        sequences: of these images.
        candidates: (L, 3) places that maps are over; L may be 0, then there are none.

    Raises:
        SettingsError: an id is not in the split.
    """
    rows, columns = torch.tensor([row_of(split, each) for each in ids]), 1 + sequences.locations.shape[1]
    figure, ratios = figure_of(2.3 * columns, 3.4 * len(ids)), [1, 0.5] * len(ids)
    panels = figure.subplots(2 * len(ids), columns, squeeze=False, height_ratios=ratios)
    for axes in panels.flat:
        axes.set_axis_off()
    crops = geometry.retina()(split.images, rows, sequences.locations)  # (B, T, S*C, G, G)
    for number, image_id in enumerate(ids):
        above, below = panels[2 * number : 2 * number + 2]
        image, own = split.images[rows[number]].numpy(), sequences.take(torch.tensor([number]))
        draw_image(above[0], image)
        draw_squares(above[0], own.locations[0], geometry)
        above[0].set_title(f"image {image_id}", fontsize=7)
        for step in range(columns - 1):
            if len(candidates):
                _draw_map(above[1 + step], image, own, step, candidates, geometry)
            _draw_crop(below[1 + step], crops[number, step], own.locations[0, step], geometry, step)
    if len(candidates):
        figure.suptitle(explained(geometry), fontsize=8)
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=110, format="png"))


def explained(geometry: Geometry) -> str:
    """What the maps are.

    >>> explained(Geometry(12, 12, 1, glimpse_size=4))
    'nats that a glimpse at each place is expected to gain: H before less EPE; red: the chosen place'
    """
    best = ", the best of all sides at each centre" if geometry.sides else ""
    chosen = "the chosen square" if geometry.sides else "the chosen place"
    return f"nats that a glimpse at each place is expected to gain{best}: H before less EPE; red: {chosen}"


def middles(places: Tensor, geometry: Geometry) -> Tensor:
    """(..., 2) row and column of the pixel in the middle of places (..., 3); of the whole image its own.

    >>> middles(torch.tensor([[2, 0, 4], [0, 0, 12]]), Geometry(12, 8, 1, glimpse_size=4)).tolist()
    [[3.5, 1.5], [5.5, 3.5]]
    """
    extent = torch.tensor(geometry.image_size) / 2
    centres = places[..., :2] + places[..., 2:] / 2
    return torch.where(is_whole(places, geometry)[..., None], extent, centres) - 0.5


def best_by_centre(gains: Tensor, places: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Centres (M, 2) of places (L, 3), and the largest gain (M,) of all squares around each.

    >>> places = torch.tensor([[0, 0, 4], [4, 4, 4], [3, 3, 6]])
    >>> geometry = Geometry(12, 12, 1, glimpse_size=4, sides=(4, 6))
    >>> best_by_centre(torch.tensor([0.1, 0.2, 0.3]), places, geometry)
    (tensor([[1.5000, 1.5000],
            [5.5000, 5.5000]]), tensor([0.1000, 0.3000]))
    """
    centres, of = middles(places, geometry).unique(dim=0, return_inverse=True)
    return centres, torch.full_like(gains, -torch.inf)[: len(centres)].scatter_reduce(0, of, gains, "amax")


def _draw_map(
    axes: Axes, image: np.ndarray, own: Sequences, step: int, candidates: Tensor, geometry: Geometry
) -> None:
    """The places coloured by what they are expected to gain, with a mark at the chosen one.

    The colour bar says gains on its right and expected entropies on its left; of scores without an entropy,
    as those of saliency, the scores alone. Of several sides each centre has the value of the best square
    around it, and the chosen square is framed.
    """
    from matplotlib.patches import Rectangle

    known, chosen = bool(own.entropy[0, step].isfinite()), own.locations[0, step]
    before = float(own.entropy[0, step]) if known else 0.0
    draw_image(axes, image, alpha=0.35)
    scores = own.epe_map[0, step]
    shown = scores.isfinite() & (~is_whole(candidates, geometry) | bool(geometry.sides))
    centres, gains = best_by_centre(before - scores[shown], candidates[shown], geometry)
    rows, cols = centres.T
    dots = axes.scatter(cols, rows, c=gains, cmap="viridis", s=DOT, marker="s", linewidths=0)
    if geometry.sides:
        row, col, side = chosen.tolist()
        axes.add_patch(Rectangle((col - 0.5, row - 0.5), side, side, fill=False, edgecolor="red"))
    elif not is_whole(chosen, geometry):
        row, col = middles(chosen, geometry).tolist()
        axes.plot(col, row, "r+", markersize=8)
    bar = axes.figure.colorbar(dots, ax=axes, fraction=0.046, pad=0.12)
    other = bar.ax.secondary_yaxis("left", functions=(partial(np.subtract, before),) * 2)
    for scale, name in ((bar.ax, "gain"), (other, "EPE")) if known else ((other, "score"),):
        scale.tick_params(labelsize=5)
        scale.set_ylabel(name, fontsize=5, labelpad=1)
    bar.ax.tick_params(labelright=known)
    epe = float(own.epe[0, step])
    figures = f": H {before:.2f}, EPE {epe:.2f}, gain {before - epe:.2f}" if known else ""
    axes.set_title(f"t = {step + 1}{figures}", fontsize=7)


def _draw_crop(axes: Axes, values: Tensor, place: Tensor, geometry: Geometry, step: int) -> None:
    """What the sensor sees at a place, (S*C, G, G): of a retina its scales side by side."""
    scales = values.unflatten(0, (geometry.scales, geometry.channels))  # (S, C, G, G)
    seen = scales.permute(2, 0, 3, 1).flatten(1, 2).squeeze(-1)  # (G, S*G, C), or (G, S*G) of grey ones
    axes.imshow(seen.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    side = f", {int(place[2])} pixels wide" if geometry.sides else ""
    axes.set_title(f"glimpse {step + 1}{side}", fontsize=7)
