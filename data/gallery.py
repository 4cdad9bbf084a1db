"""A picture of some images of a split: their labels and, where they are known, objects and parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from data.dataset import DataSet, Split
from data.drawing import figure_of
from data.errors import SettingsError
from data.files import write_atomically
from data.sample import choose_images

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

COLUMNS, PANEL = 6, 1.35  # inches
LEGEND = 6  # named parts in a row of the legend
MARKS = "os^D"
TITLE = 21  # characters over an image


@dataclass(frozen=True)
class Sample:
    """Some images of a split, and what is known of them.

    Attributes:
        ids: (B,) of the images.
        images: (B, H, W, C) uint8.
        labels: of each, the name of its class.
        boxes: (B, 4) first row and column of the object, and those after its last; None: not known.
        part_names: of the P parts, () where none are known.
        parts: (B, P, 2) row and column of each, NaN where it is hidden.
    """

    ids: Tensor
    images: Tensor
    labels: list[str]
    boxes: Tensor | None
    part_names: tuple[str, ...]
    parts: Tensor


def sample_of(dataset: DataSet, split: str, count: int, ids: Sequence[int] = ()) -> Sample:
    """A fair sample of at most `count` images of a split, or the images `ids`.

    Raises:
        SettingsError: the split has no image of an id.
        DataError: there is no such split.

    >>> from data.registry import load
    >>> found = sample_of(load("digits"), "train", 3)
    >>> found.images.shape, found.boxes.shape, found.part_names
    (torch.Size([3, 40, 40, 1]), torch.Size([3, 4]), ())
    """
    images = dataset[split]
    chosen = choose_images(images, min(count, len(images)))
    rows = _rows(images, ids) if ids else torch.searchsorted(images.ids, chosen)
    named = dataset.parts(split) if dataset.parts else None
    return Sample(
        images.ids[rows],
        images.images[rows],
        [dataset.classes[label] for label in images.labels[rows].tolist()],
        None if images.boxes is None else images.boxes[rows],
        named.names if named else (),
        named.places[rows] if named else torch.zeros(len(rows), 0, 2),
    )


def _rows(split: Split, ids: Sequence[int]) -> Tensor:
    wanted = torch.tensor(list(dict.fromkeys(ids)))
    missing = wanted[~torch.isin(wanted, split.ids)].tolist()
    if missing:
        raise SettingsError(
            f"expected an image of the split, from {int(split.ids[0])} to {int(split.ids[-1])}, found no "
            f"image {missing[0]}; choose another --image, or leave it out"
        )
    return torch.searchsorted(split.ids, wanted)


def draw_sample(path: Path, sample: Sample) -> None:
    """Writes a PNG: the images with their ids and classes, a box around each object, a dot on each part."""
    count = len(sample.ids)
    columns, rows = min(COLUMNS, count), math.ceil(count / COLUMNS)
    legend = 0.2 * math.ceil(len(sample.part_names) / LEGEND)
    figure = figure_of(PANEL * columns, (PANEL + 0.35) * rows + legend)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels:
        axes.set_axis_off()
    for number, (axes, image) in enumerate(zip(panels, sample.images.numpy(), strict=False)):
        axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(_titled(int(sample.ids[number]), sample.labels[number]), fontsize=7, parse_math=False)
        if sample.boxes is not None:
            axes.add_patch(_frame(sample.boxes[number].tolist()))
        for part, (row, col) in enumerate(sample.parts[number].tolist()):
            if not math.isnan(row):
                name, look = sample.part_names[part], _mark(part)
                axes.plot(col - 0.5, row - 0.5, look, markersize=3, color=f"C{part % 10}", label=name)
    _name_parts(figure, panels)
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=110, format="png"))


def _frame(box: Sequence[float]) -> Rectangle:
    """Around the pixels of a box."""
    from matplotlib.patches import Rectangle

    top, left, bottom, right = box
    return Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor="gold")


def _mark(part: int) -> str:
    """Of a part; ten colours come back with another mark.

    >>> _mark(3), _mark(13), _mark(43)
    ('o', 's', 'o')
    """
    return MARKS[part // 10 % len(MARKS)]


def _name_parts(figure: Figure, panels: np.ndarray) -> None:
    """A legend of the parts that any image shows, each once."""
    found: dict[str, Artist] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    if found:
        handles, names = list(found.values()), list(found)
        figure.legend(handles, names, loc="outside lower center", ncols=LEGEND, fontsize=7, frameon=False)


def _titled(image_id: int, label: str) -> str:
    """Number and class of an image, on two lines where one is too short, and no wider than the image.

    >>> _titled(7, "8"), _titled(7, "001.Black_footed_Albatross")
    ('7: 8', '7\\n001.Black_footed_A...')
    """
    if len(f"{image_id}: {label}") <= TITLE:
        return f"{image_id}: {label}"
    return f"{image_id}\n{label if len(label) <= TITLE else label[: TITLE - 3] + '...'}"
