"""A picture of what the AVP-CNN sees: the masked image and the mask, glimpse by glimpse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from boed.pictures.glimpses import draw_image, draw_squares, row_of
from boed.posteriors.avp_cnn import AvpCnnPosterior
from boed.posteriors.posterior import Posterior
from data.dataset import Split
from data.drawing import figure_of
from data.errors import SettingsError
from data.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL = 1.35  # inches


@dataclass(frozen=True)
class MaskedImages:
    """What the AVP-CNN sees of B images after each of T glimpses, and says.

    Attributes:
        images: (B, T, S, C, R, R) in [0, 1], 0 where nothing was seen.
        masks: (B, T, S, 1, R, R) in [0, 1], the share of each of its pixels that was seen.
        probabilities: (B, T, K) of the classes.
    """

    images: Tensor
    masks: Tensor
    probabilities: Tensor


def require_avp_cnn(q: Posterior) -> AvpCnnPosterior:
    """The posterior; raises SettingsError for one that sees no masked image."""
    if not isinstance(q, AvpCnnPosterior):
        raise SettingsError(
            f"expected a fit with --posterior avp-cnn, found {type(q).__name__}, which sees no masked image; "
            "name another --fit"
        )
    return q


@torch.no_grad()
def masked_images(q: AvpCnnPosterior, split: Split, rows: Tensor, places: Tensor) -> MaskedImages:
    """What q sees of the images `rows` (B,) at places (B, T, 3)."""
    geometry = q.geometry
    glimpses = geometry.retina()(split.images, rows, places)
    totals = q.prefixes(q.embed(glimpses, geometry.centres(places)))  # (B, T, D)
    images, masks = q.masked_image(totals)
    counts = torch.arange(1, places.shape[1] + 1)
    return MaskedImages(images, masks, q.logits(totals, counts).softmax(-1))


def draw_masked_images(
    path: Path, q: AvpCnnPosterior, split: Split, ids: Sequence[int], places: Tensor, classes: Sequence[str]
) -> None:
    """Writes a PNG: for each image its glimpses, above the masked image and below the mask of every step.

    The scales of a retina are side by side. Above stands the class that q finds likeliest.

    Args:
        split: holds the images `ids` (B).
        places: (B, T, 3).
        classes: names of the K classes.

    Raises:
        SettingsError: an id is not in the split.
    """
    rows = torch.tensor([row_of(split, each) for each in ids])
    seen = masked_images(q, split, rows, places)
    steps = places.shape[1]
    figure = figure_of(
        (0.7 + steps * q.geometry.scales) * PANEL + PANEL, 2 * PANEL * len(ids) + 0.35 * len(ids)
    )
    panels = figure.subplots(2 * len(ids), 1 + steps, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for number, row in enumerate(rows.tolist()):
        above, below = panels[2 * number : 2 * number + 2]
        draw_image(above[0], split.images[row].numpy())
        draw_squares(above[0], places[number], q.geometry)
        above[0].set_title(
            f"image {ids[number]}: {classes[int(split.labels[row])]}", fontsize=8, parse_math=False
        )
        for step in range(steps):
            chances = seen.probabilities[number, step]
            says = f"t = {step + 1}: {classes[int(chances.argmax())]} {100 * float(chances.max()):.0f} %"
            _draw_canvas(above[1 + step], seen.images[number, step], says)
            _draw_canvas(below[1 + step], seen.masks[number, step], "mask")
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=110, format="png"))


def _draw_canvas(axes: Axes, scales: Tensor, title: str) -> None:
    """Canvases (S, C, R, R) side by side, in a frame."""
    pixels = np.concatenate(list(scales.movedim(1, -1).numpy()), 1)  # (R, S*R, C)
    axes.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=8, parse_math=False)
