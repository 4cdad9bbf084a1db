"""Glimpse sequences from annotation: parts of the object, named ones or at fixed places within its box."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.dataset import DataSet, Split
from data.errors import SettingsError
from data.geometry import Geometry
from data.places import after_glance, places_at
from data.sequences import Sequences
from supervision.annotations import Annotations
from supervision.store import SequenceStore, filling

NEAR, FAR = 0.35, 0.65
PATTERN = (
    (0.5, 0.5),
    (NEAR, NEAR),
    (FAR, FAR),
    (NEAR, FAR),
    (FAR, NEAR),
    (NEAR, 0.5),
    (FAR, 0.5),
    (0.5, NEAR),
    (0.5, FAR),
)
"""Centres of the parts as shares of the box: its middle, its corners, the middles of its sides."""


def part_sequences(boxes: Tensor, geometry: Geometry, glimpses: int, side: int | None = None) -> Tensor:
    """(N, T, 3) places of the grid: the middle of the image first, then the parts of the object in turn.

    What is annotated is where the object is; a network that has only seen the middle has to find it. Where
    the first glimpse is a glance, that is it.

    Args:
        boxes: (N, 4) first row and column of the object, and those after its last.
        geometry: of image, glimpse and grid.
        glimpses: T.
        side: see `nearest_on_grid`.

    >>> geometry = Geometry(40, 40, 1, glimpse_size=8, per_axis=9)
    >>> part_sequences(torch.tensor([[0, 20, 16, 36]]), geometry, 3).tolist()
    [[[16, 16, 8], [4, 24, 8], [0, 20, 8]]]
    """
    turns = torch.tensor([PATTERN[t % len(PATTERN)] for t in range(glimpses - 1)]).view(-1, 2)
    corner, extent = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
    parts = nearest_on_grid(corner + turns * extent, geometry, side)
    if geometry.first_glance:
        return after_glance(parts, geometry.image_size)
    middle = torch.tensor([geometry.height, geometry.width]) / 2
    return torch.cat([nearest_on_grid(middle.expand(len(boxes), 1, 2), geometry, side), parts], 1)


def nearest_on_grid(centres: Tensor, geometry: Geometry, side: int | None = None) -> Tensor:
    """(..., 3) the square of the grid whose centre is nearest to each of the points (..., 2), in pixels.

    Args:
        side: of the squares, in pixels; None: a plain glimpse.

    Raises:
        SettingsError: the grid has no squares of that side.
    """
    sizes = {part.glimpse_size: part for part in geometry.grid().parts}
    side = geometry.glimpse_size if side is None else side
    if side not in sizes:
        known = ", ".join(map(str, sizes))
        raise SettingsError(f"expected a --side of {known} pixels, found {side}; name it in --sides too")
    axes = (torch.tensor(sizes[side].rows), torch.tensor(sizes[side].cols))
    corners = centres - side / 2
    nearest = [axis[(corners[..., a, None] - axis).abs().argmin(-1)] for a, axis in enumerate(axes)]
    return places_at(torch.stack(nearest, -1), side)


def write_parts(
    path: Path,
    dataset: DataSet,
    split: str,
    *,
    glimpses: int,
    geometry: Geometry | None = None,
    ids: Tensor | None = None,
    annotations: Annotations | None = None,
    side: int | None = None,
    origin: dict[str, Any] | None = None,
) -> SequenceStore:
    """Part sequences of the images of a split as a store; what is there already is not made again.

    Args:
        path: of the store.
        split: name of the split.
        glimpses: T.
        geometry: of image, glimpse and grid; default the data set's.
        ids: (N,) only these images, increasing.
        annotations: where the parts are, of all these images; default at fixed places of the object's box.
        side: of the squares at the parts, see `nearest_on_grid`.
        origin: see `SequenceStore.write_to`.

    Raises:
        SettingsError: no glimpse, squares that the grid has not, or without annotations a data set that does
            not know where its objects are.
        StoreError: `path` holds other sequences.
    """
    if glimpses < 1:
        raise SettingsError(f"expected at least 1 glimpse, found {glimpses}; set --glimpses")
    images, geometry = dataset[split], geometry or dataset.geometry
    nearest_on_grid(
        torch.zeros(0, 2), geometry, side
    )  # refuses what there is not, before anything is written
    boxes = _boxes(dataset, images) if annotations is None else None
    settings = {
        "dataset": dataset.name,
        "target": dataset.target,
        "fingerprint": images.fingerprint,
        "geometry": geometry.to_json(),
        "design": _described(annotations) | ({} if side is None else {"side": side}),
    }
    wanted, none = images.ids.cpu() if ids is None else ids, torch.zeros(0, 3, dtype=torch.int64)
    with filling(path):
        store = SequenceStore.write_to(path, settings, wanted, glimpses, none, origin=origin)
        rows = store.pending()
        rows = rows[torch.isin(store.ids[rows], wanted)]
        if len(rows) and annotations is not None:
            places = _annotated(annotations, store.ids[rows], geometry, glimpses, side)
            store.write(rows, Sequences.unscored(places))
        elif len(rows) and boxes is not None:
            where = torch.searchsorted(images.ids.cpu(), store.ids[rows])
            store.write(rows, Sequences.unscored(part_sequences(boxes[where], geometry, glimpses, side)))
    return store


def _annotated(
    annotations: Annotations, ids: Tensor, geometry: Geometry, glimpses: int, side: int | None
) -> Tensor:
    """(N, T, 3) places at annotated parts, after the glance where there is one."""
    glance = geometry.first_glance
    places = nearest_on_grid(annotations.places(ids, glimpses - glance), geometry, side)
    return after_glance(places, geometry.image_size) if glance else places


def _described(annotations: Annotations | None) -> dict[str, Any]:
    """What the parts depend on beside the images."""
    if annotations is None:
        return {"source": "parts"}
    return {"source": "annotated-parts", "order": list(annotations.order), "digest": annotations.digest}


def _boxes(dataset: DataSet, images: Split) -> Tensor:
    if images.boxes is None:
        raise SettingsError(
            f"expected a data set that knows where its objects are, found {dataset.name}; take digits, "
            "translated-mnist, cluttered-mnist, cub or celebahq with --scatter, or annotated parts with "
            "--parts"
        )
    return images.boxes.cpu()
