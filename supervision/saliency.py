"""Glimpse sequences from ground-truth saliency: the regions that hold the most of it, and maps of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.dataset import DataSet
from data.errors import SettingsError
from data.geometry import Geometry
from data.places import whole_image
from data.progress import progress_bar
from data.saliency import SaliencyMaps
from data.sequences import Sequences
from supervision.store import SequenceStore, filling

BLOCK = 256  # images whose maps are in memory together


def salient_sequences(saliency: Tensor, geometry: Geometry, glimpses: int) -> tuple[Tensor, Tensor]:
    r"""The whole image, then in turn the glimpses that hold the most of what is not yet seen; and maps.

    $m_t(l) = 1 - S_t(l) / \max_{l'} S_t(l'), \quad S_t(l) = \sum_{p \in l \setminus (l_2 \cup \dots \cup
    l_{t-1})} s(p)$

    0 at the place to look at. When nothing is left to see it begins anew; where nothing is salient, all is.

    Args:
        saliency: (N, H, W) of at least 0.
        geometry: with a first glance and one side.
        glimpses: T, the first of which is the whole image.

    Returns:
        places (N, T, 3), and the maps (N, T, L) over the grid; before the glance that of the first region.

    >>> geometry = Geometry(8, 8, 1, glimpse_size=4, per_axis=3, first_glance=True)
    >>> saliency = torch.zeros(1, 8, 8)
    >>> saliency[0, 4:, 4:], saliency[0, 0, 0] = 1, 1
    >>> places, maps = salient_sequences(saliency, geometry, 3)
    >>> places[0].tolist(), maps[0, 1].view(3, 3)[2].tolist()
    ([[0, 0, 8], [4, 4, 4], [0, 0, 4]], [1.0, 0.5, 0.0])
    """
    grid = geometry.grid().locations
    whole = torch.where(saliency.sum((1, 2), keepdim=True) > 0, saliency.double(), 1.0)
    left, places, maps = whole, [whole_image(geometry.image_size).expand(len(whole), 3)], list[Tensor]()
    for _ in range(glimpses - 1):
        left = torch.where(left.sum((1, 2), keepdim=True) > 0, left, whole)
        held = _held(left, grid)
        maps.append(1 - held / held.amax(1, keepdim=True).clamp(min=1e-12))
        places.append(grid[held.argmax(1)])
        left = left.masked_fill(_inside(places[-1], geometry.image_size), 0)
    return torch.stack(places, 1), torch.stack([maps[0], *maps], 1).float()


def _held(saliency: Tensor, places: Tensor) -> Tensor:
    """(N, L) how much of (N, H, W) each square (L, 3) holds, by sums over rectangles from the corner."""
    sums = torch.nn.functional.pad(saliency.cumsum(1).cumsum(2), (1, 0, 1, 0))
    row, col, side = places.unbind(1)
    held = sums[:, row + side, col + side] - sums[:, row, col + side] - sums[:, row + side, col]
    return (held + sums[:, row, col]).clamp(min=0)


def _inside(places: Tensor, image_size: tuple[int, int]) -> Tensor:
    """(N, H, W) bool: the pixels of squares (N, 3)."""
    within = [
        (torch.arange(extent) >= places[:, axis, None])
        & (torch.arange(extent) < places[:, axis, None] + places[:, 2:])
        for axis, extent in enumerate(image_size)
    ]
    return within[0][:, :, None] & within[1][:, None]


def write_salient(
    path: Path,
    dataset: DataSet,
    split: str,
    saliency: SaliencyMaps,
    *,
    glimpses: int,
    geometry: Geometry | None = None,
    ids: Tensor | None = None,
    origin: dict[str, Any] | None = None,
) -> SequenceStore:
    """Sequences and maps of the images of a split as a store; what is there already is not made again.

    Args:
        path: of the store.
        saliency: of the split, from `data.saliency.saliency_of`.
        glimpses: T, with the first glance that all of them begin with.
        geometry: of glimpse and grid; default the data set's.
        ids: (N,) only these images, increasing.
        origin: see `SequenceStore.write_to`.

    Raises:
        SettingsError: no region beside the glance, or glimpses of several sides.
        StoreError: `path` holds other sequences.
    """
    geometry = replace(geometry or dataset.geometry, first_glance=True)
    if glimpses < 2:
        raise SettingsError(
            f"expected at least 2 glimpses, the first being the whole image, found {glimpses}"
        )
    if geometry.sides:
        raise SettingsError(
            f"expected glimpses of one side for saliency, found {list(geometry.sides)}; leave --sides out"
        )
    images, candidates = dataset[split], geometry.grid().locations
    settings = {
        "dataset": dataset.name,
        "target": dataset.target,
        "fingerprint": images.fingerprint,
        "geometry": geometry.to_json(),
        "design": {"source": "saliency", "maps": saliency.digest},
    }
    wanted = images.ids.cpu() if ids is None else ids
    with filling(path):
        store = SequenceStore.write_to(path, settings, wanted, glimpses, candidates, origin=origin)
        rows = store.pending()
        rows = rows[torch.isin(store.ids[rows], wanted)]
        where = torch.searchsorted(images.ids.cpu(), store.ids)
        with progress_bar(total=len(rows), desc="saliency", unit="image") as bar:
            for start in range(0, len(rows), BLOCK):
                block = rows[start : start + BLOCK]
                places, maps = salient_sequences(saliency.of(where[block]), geometry, glimpses)
                store.write(block, replace(Sequences.unscored(places), epe_map=maps))
                bar.update(len(block))
    return store
