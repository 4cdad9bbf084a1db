"""What pictures of images have in common: the image with its glimpses, and what was seen of it."""

from __future__ import annotations

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

UNSEEN = 96  # grey level of what no glimpse covers


def row_of(split: Split, image_id: int) -> int:
    """Row of one image; raises SettingsError when the split has no such id."""
    row = int(torch.searchsorted(split.ids, image_id).clamp(max=len(split) - 1))
    if int(split.ids[row]) != image_id:
        raise SettingsError(
            f"expected an image of the design split, found id {image_id}; see `boed show` without --image"
        )
    return row


def only_seen(image: Tensor, places: Tensor) -> Tensor:
    """The image (H, W, C) uint8 with mid-grey where no glimpse at places (t, 3) fell.

    >>> only_seen(torch.full((2, 3, 1), 7, dtype=torch.uint8), torch.tensor([[0, 1, 1]]))[..., 0].tolist()
    [[96, 7, 96], [96, 96, 96]]
    """
    shown = torch.full_like(image, UNSEEN)
    for row, col, side in places.tolist():
        inside = (slice(max(row, 0), max(row + side, 0)), slice(max(col, 0), max(col + side, 0)))
        shown[inside] = image[inside]
    return shown


def draw_image(axes: Axes, image: np.ndarray, *, alpha: float = 1.0) -> None:
    """An image (H, W, C) uint8, grey where C is 1."""
    axes.imshow(
        image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255, alpha=alpha
    )
    axes.set_axis_off()


def draw_squares(axes: Axes, places: Tensor, geometry: Geometry, *, numbered: bool = True) -> None:
    """The squares of glimpses at places (T, 3), but for a first glance at the whole image."""
    from matplotlib.patches import Rectangle

    shown = ~is_whole(places, geometry) | bool(geometry.sides)
    for number, (row, col, side) in enumerate(places.tolist(), 1):
        if not shown[number - 1]:
            continue
        axes.add_patch(Rectangle((col - 0.5, row - 0.5), side, side, fill=False, edgecolor="lime"))
        if numbered:
            middle = (col + side / 2, row + side / 2)
            axes.text(*middle, str(number), color="yellow", fontsize=7, ha="center", va="center")
