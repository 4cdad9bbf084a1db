"""CelebA-HQ in the official CelebAMask-HQ layout: CelebA-HQ-img/N.jpg and the attribute file.

Splits are by index, as in Harvey, Teng and Wood (arXiv 1906.05462, their published code): 0-1,999 to
annotate with sequences, 2,000-26,999 train, 27,000-27,499 validation, 27,500-29,999 test. A folder that
holds only part of the 30,000 images works: annotation rows without an image are left out.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from data.dataset import DataSet, Split
from data.decode import photo_store
from data.errors import DataError, SettingsError
from data.geometry import Geometry
from data.layouts import CELEBAHQ as LAYOUT
from data.layouts import CELEBAHQ_ANNOTATIONS as ANNOTATIONS
from data.layouts import CELEBAHQ_IMAGES as IMAGES

RANGES = {
    "design": range(0, 2000),
    "train": range(2000, 27000),
    "valid": range(27000, 27500),
    "test": range(27500, 30000),
}
DEFAULT_ATTRIBUTE = "Male"
SIZE = 224

EVERY = "all"


def load_celebahq(root: Path, attribute: str | None = None) -> DataSet:
    """A binary attribute of CelebA-HQ at 224 x 224, 16-pixel glimpses on the published 50 x 50 grid.

    Args:
        root: folder in the official layout.
        attribute: one of the 40; several with commas between them, or "all", for a fit of them together.

    Raises:
        DataError: the folder or the annotation file is missing or damaged, or no annotated image exists.
        SettingsError: an attribute is none of the 40.
    """
    names, ids, labels = _read_annotations(root / ANNOTATIONS)
    chosen = names if attribute == EVERY else (attribute or DEFAULT_ATTRIBUTE).split(",")
    for unknown in [name for name in chosen if name not in names]:
        raise SettingsError(f"expected one of the attributes {', '.join(names)}; found {unknown!r}")
    here = _present(root / IMAGES, ids)
    notes = [] if attribute else [f"attribute not given, taking {DEFAULT_ATTRIBUTE}"]
    if len(here) < len(ids):
        notes.append(
            f"{len(ids) - len(here)} of {len(ids)} annotated images are not in {root / IMAGES}: left out"
        )
    columns = [names.index(name) for name in chosen]
    column = columns if len(columns) > 1 else columns[0]
    openers = {split: partial(_open_split, root, ids[here], labels[here], split, column) for split in RANGES}
    classes = {name: (f"not {name}", name) for name in chosen}
    geometry = Geometry(SIZE, SIZE, 3, glimpse_size=16, per_axis=50, last_excluded=True)
    return DataSet(
        "celebahq",
        ",".join(chosen),
        classes[chosen[0]] if len(chosen) == 1 else ("absent", "present"),
        geometry,
        5,
        openers,
        "; ".join(notes),
        symmetric=True,
        aligned=True,
        attributes=classes if len(chosen) > 1 else None,
    )


def _read_annotations(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Attribute names, image indices (N,) and labels (N, 40) in {0, 1}."""
    if not path.parent.is_dir():
        raise DataError(f"expected a folder with {LAYOUT}, found no folder {path.parent}; set --data-root")
    if not path.is_file():
        raise DataError(
            f"expected the annotation file {path}, found none; set --data-root to the folder that holds it"
        )
    lines = path.read_text(errors="replace").splitlines()
    names = lines[1].split() if len(lines) > 1 else []
    rows = [line.split() for line in lines[2:] if line.strip()]
    if not names or not rows or any(len(row) != 1 + len(names) for row in rows):
        raise DataError(
            f"expected a line of names and rows of {len(names)} values in {path}, found another; "
            "fetch it again"
        )
    try:
        ids = np.array([int(row[0].removesuffix(".jpg")) for row in rows], dtype=np.int64)
        values = np.array([[int(v) for v in row[1:]] for row in rows], dtype=np.int64)
    except ValueError as error:
        raise DataError(
            f"expected rows 'N.jpg 1 -1 ...' in {path}, found one that is not ({error}); fetch it again"
        ) from None
    order = np.argsort(ids)
    return names, ids[order], (values[order] > 0).astype(np.int64)


def _present(folder: Path, ids: np.ndarray) -> np.ndarray:
    """Rows whose image file exists."""
    files = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    here = np.array([n for n, i in enumerate(ids) if f"{i}.jpg" in files], dtype=np.int64)
    if len(here) == 0:
        raise DataError(
            f"expected annotated images N.jpg in {folder}, found none of {len(ids)}; set --data-root"
        )
    return here


def _open_split(
    root: Path, ids: np.ndarray, labels: np.ndarray, split: str, column: int | list[int]
) -> Split:
    chosen = np.isin(ids, np.asarray(RANGES[split]))
    ids, labels = ids[chosen], labels[chosen]
    paths = [root / IMAGES / f"{i}.jpg" for i in ids]
    return Split.of(photo_store(paths, ids, labels, SIZE, title=f"decode {split}"), column)
