"""The sequences that tables and frontiers imitate: parts of the objects, or designs with their own fit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boed.fitting.fit import fit
from boed.part_files import POSTERIOR
from boed.search.designer import Designer
from boed.stored_designs import store_designs
from data.dataset import DataSet
from data.geometry import Geometry
from data.registry import reopen
from supervision.parts import write_parts
from supervision.store import SequenceStore, filling

PARTS = "parts-"
RECORDED = "recorded"
IMAGES = 600  # that are designed for, as by `boed generate`
NOT_OF_DESIGNS = ("placements",)  # options of data that concern training digits alone


def is_designed(kind: str) -> bool:
    """Whether sequences of this kind are made by `designed`.

    >>> is_designed("fixed-order"), is_designed("parts-train"), is_designed("")
    (True, False, False)
    """
    return kind not in ("", RECORDED) and not kind.startswith(PARTS)


def parts(
    path: Path, kind: str, dataset: DataSet, geometry: Geometry, glimpses: int, opened: dict[str, Any]
) -> SequenceStore:
    """Parts of the objects of a split; the kind is "parts-SPLIT"."""
    split = kind.removeprefix(PARTS)
    return write_parts(path, dataset, split, glimpses=glimpses, geometry=geometry, origin=opened)


def designed(
    path: Path,
    source: str,
    run: Path,
    geometry: Geometry,
    glimpses: int,
    opened: Mapping[str, Any],
    device: str = "auto",
    *,
    split: str = "design",
    images: int = IMAGES,
) -> SequenceStore:
    """Sequences of a source for images of a split, as `boed generate` makes them by a fit in `run`.

    What has not been fitted is fitted there. Both always have seed 0: networks of all seeds imitate the same
    sequences. Placements are those of training digits alone: design images are the same for any number of
    them, and what is fitted is fitted on one.

    Args:
        path: of the store; what is there already is not made again.
        opened: what `data.registry.load` was called with.
        split, images: how many of which, a fair sample; at most those that there are.

    Raises:
        GlimpseError: what was fitted, or is in the store, is of another task.
    """
    if path.exists() and bool(SequenceStore.read(path).done.all()):
        return SequenceStore.read(path)
    start = time.perf_counter()
    kept = {name: value for name, value in opened.items() if name not in NOT_OF_DESIGNS}
    dataset = reopen(kept, None, "a data set to design for")
    folder = run / "approximations"
    there = (folder / POSTERIOR).exists()
    asked: dict[str, Any] = {} if there else {"glimpses": glimpses}  # fewer than were fitted will do
    designer = Designer(fit(dataset, folder, device=device, geometry=geometry, **asked))
    try:
        return store_designs(
            path, designer, dataset, split=split, glimpses=glimpses, images=images, source=source
        )
    finally:
        if path.exists():
            with filling(path):
                SequenceStore.read(path).add_making(time.perf_counter() - start)


def made_in(path: Path) -> float:
    """Seconds in which `designed` made a store, fit included where it was not there; 0 for others."""
    return SequenceStore.read(path).made_in if path.is_file() else 0.0
