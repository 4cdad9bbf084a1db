"""The sequences that tables and frontiers imitate: parts of the objects, or designs with their own fit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boed.combination import CHOICES, Combination
from boed.fitting.fit import fit
from boed.part_files import FOLDER, POSTERIOR
from boed.search.designer import Designer
from boed.stored_designs import store_designs
from data.dataset import DataSet
from data.errors import StoreError
from data.geometry import Geometry
from data.registry import reopen
from hardattn.experiments.sequence_kinds import PARTS, source_and_split
from supervision.parts import write_parts
from supervision.store import SequenceStore, filling

IMAGES = 600  # that are designed for, as by `boed generate`
NOT_OF_DESIGNS = ("placements",)  # options of data that concern training digits alone


def parts(
    path: Path, kind: str, dataset: DataSet, geometry: Geometry, glimpses: int, opened: dict[str, Any]
) -> SequenceStore:
    """Parts of the objects of a split; the kind is "parts-SPLIT"."""
    split = kind.removeprefix(PARTS)
    return write_parts(path, dataset, split, glimpses=glimpses, geometry=geometry, origin=opened)


def designed(
    path: Path,
    kind: str,
    run: Path,
    geometry: Geometry,
    glimpses: int,
    opened: Mapping[str, Any],
    device: str = "auto",
    images: int | None = None,
    how: Mapping[str, Any] | None = None,
) -> SequenceStore:
    """Sequences of a kind, as `boed generate` makes them, with what was fitted in `run`.

    What has not been fitted is fitted there. Both always have seed 0: networks of all seeds imitate the same
    sequences. Placements are those of training digits alone: design images are the same for any number of
    them, and what is fitted for these is fitted on one.

    Args:
        path: of the store; what is there already is not made again.
        kind: see `hardattn.experiments.sequence_kinds`.
        opened: what `data.registry.load` was called with.
        images: how many are designed for; default `IMAGES`.
        how: of the fit, what is not as usual: fields of `boed.settings.FitSettings` and of a combination.

    Raises:
        GlimpseError: what was fitted, or is in the store, is of another task, fit or number of images.
    """
    start, (source, split) = time.perf_counter(), source_and_split(kind)
    left_out = NOT_OF_DESIGNS if split == "design" else ()
    kept = {name: value for name, value in opened.items() if name not in left_out}
    if path.exists() and bool(SequenceStore.read(path).done.all()):
        store = SequenceStore.read(path)
        _require_fit(store, how or {})
        if images is not None:
            _require_images(store, min(images, len(reopen(kept, None, "a data set to design for")[split])))
        return store
    dataset = reopen(kept, None, "a data set to design for")
    combination, asked = combination_in(how or {})
    folder = approximations_in(run, how or {})
    if not (folder / POSTERIOR).exists():
        asked["glimpses"] = glimpses  # of what is there fewer than were fitted will do
    designer = Designer(
        fit(dataset, folder, device=device, geometry=geometry, combination=combination, **asked)
    )
    count = IMAGES if images is None else images
    try:
        return store_designs(
            path, designer, dataset, split=split, glimpses=glimpses, images=count, source=source
        )
    finally:
        if path.exists():
            with filling(path):
                SequenceStore.read(path).add_making(time.perf_counter() - start)


def _require_fit(store: SequenceStore, how: Mapping[str, Any]) -> None:
    """Raises StoreError for sequences of another fit than a row says."""
    parts = {name: value for name, value in how.items() if name in CHOICES}
    said = {"design": parts, "fit": combination_in(how)[1]}
    store.require({part: {**(store.settings.get(part) or {}), **own} for part, own in said.items() if own})


def _require_images(store: SequenceStore, images: int) -> None:
    """Raises StoreError for sequences of more or fewer images than a row says."""
    if len(store.ids) != images:
        raise StoreError(
            f"expected sequences of {images} images in {store.name}, found those of {len(store.ids)}; remove "
            "the file, or use another --run folder"
        )


def combination_in(how: Mapping[str, Any]) -> tuple[Combination, dict[str, Any]]:
    """The combination that a row names, and the rest of what it says of its fit.

    >>> combination_in({"estimator": "amortised", "iterations": 9})
    (Combination(posterior='glimpse-set', completion='retrieval', estimator='amortised', \
score='cross-entropy', bank=None), {'iterations': 9})
    """
    parts = {name: value for name, value in how.items() if name in CHOICES}
    return Combination.of(**parts), {name: value for name, value in how.items() if name not in CHOICES}


def approximations_in(run: Path, how: Mapping[str, Any]) -> Path:
    """Where the approximations of a row are, as `boed fit --run` has them."""
    return run / f"{FOLDER}{Combination.of(posterior=how.get('posterior')).tag}"


def made_in(path: Path) -> float:
    """Seconds in which `designed` made a store, fit included where it was not there; 0 for others."""
    return SequenceStore.read(path).made_in if path.is_file() else 0.0
