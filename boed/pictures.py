"""Pictures of sequences: glimpses drawn on images, and the EPE maps that chose them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from data.dataset import Split
from data.errors import SettingsError
from data.geometry import Geometry
from data.places import is_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOT = 22  # size of a place in a map


def draw_sequences(
    path: Path,
    split: Split,
    ids: Sequence[int],
    locations: Tensor,
    epe_map: Tensor,
    candidates: Tensor,
    geometry: Geometry,
) -> None:
    """Writes a PNG: one row per image, first the image with its numbered glimpses, then the map of each step.

    Args:
        split: holds the images `ids` (B).
        locations: (B, T, 3).
        epe_map: (B, T, L) nats over the `candidates` (L, 3); L may be 0.

    Raises:
        SettingsError: an id is not in the split.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = locations.shape[1]
    columns = 1 + (steps if len(candidates) else 0)
    figure, axes = pyplot.subplots(len(ids), columns, figsize=(2 * columns, 2.1 * len(ids)), squeeze=False)
    for row, image_id in enumerate(ids):
        image = image_of(split, image_id)
        _draw_glimpses(axes[row, 0], image, locations[row], geometry, f"image {image_id}")
        for step in range(columns - 1):
            _draw_map(
                axes[row, 1 + step], image, epe_map[row, step], candidates, locations[row, step], geometry
            )
            if row == 0:
                axes[row, 1 + step].set_title(f"EPE before glimpse {step + 1}", fontsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def image_of(split: Split, image_id: int) -> np.ndarray:
    """(H, W, C) uint8 of one image; raises SettingsError when the split has no such id."""
    row = int(torch.searchsorted(split.ids, image_id).clamp(max=len(split) - 1))
    if int(split.ids[row]) != image_id:
        raise SettingsError(
            f"expected an image of the design split, found id {image_id}; see `boed show` without --image"
        )
    return split.images[row].numpy()


def _draw_glimpses(axes: Axes, image: np.ndarray, locations: Tensor, geometry: Geometry, title: str) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
    shown = ~is_whole(locations, geometry) | bool(geometry.sides)
    for number, (row, col, side) in enumerate(locations.tolist(), 1):
        if not shown[number - 1]:
            continue
        axes.add_patch(Rectangle((col - 0.5, row - 0.5), side, side, fill=False, edgecolor="lime"))
        axes.text(
            col + side / 2, row + side / 2, str(number), color="yellow", fontsize=7, ha="center", va="center"
        )
    axes.set_title(title, fontsize=7)
    axes.axis("off")


def middles(places: Tensor, geometry: Geometry) -> Tensor:
    """(..., 2) row and column of the pixel in the middle of places (..., 3); of the whole image its own.

    >>> middles(torch.tensor([[2, 0, 4], [0, 0, 12]]), Geometry(12, 8, 1, glimpse_size=4)).tolist()
    [[3.5, 1.5], [5.5, 3.5]]
    """
    extent = torch.tensor(geometry.image_size) / 2
    centres = places[..., :2] + places[..., 2:] / 2
    return torch.where(is_whole(places, geometry)[..., None], extent, centres) - 0.5


def _draw_map(
    axes: Axes, image: np.ndarray, scores: Tensor, candidates: Tensor, chosen: Tensor, geometry: Geometry
) -> None:
    """The places coloured by score, bright where it is small, and a cross on the chosen one.

    Of several sides the places are frames around their centres, wider ones of wider squares, and the chosen
    square is framed as it is.
    """
    from matplotlib.patches import Rectangle

    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, alpha=0.35)
    shown = scores.isfinite() & (~is_whole(candidates, geometry) | bool(geometry.sides))
    (rows, cols), found = middles(candidates[shown], geometry).T, scores[shown]
    if geometry.sides:
        sizes = DOT * candidates[shown, 2] / geometry.glimpse_size
        dots = axes.scatter(cols, rows, c=found, cmap="viridis_r", s=sizes, marker="s", linewidths=1)
        dots.set_facecolor("none")
        row, col, side = chosen.tolist()
        axes.add_patch(Rectangle((col - 0.5, row - 0.5), side, side, fill=False, edgecolor="red"))
    else:
        dots = axes.scatter(cols, rows, c=found, cmap="viridis_r", s=DOT, marker="s", linewidths=0)
    if bool(geometry.sides) or not is_whole(chosen, geometry):
        row, col = middles(chosen, geometry).tolist()
        axes.plot(col, row, "r+", markersize=8)
    bar = axes.figure.colorbar(dots, ax=axes, fraction=0.046)
    bar.ax.tick_params(labelsize=5)
    axes.axis("off")
