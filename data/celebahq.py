"""CelebA-HQ in the official CelebAMask-HQ layout: CelebA-HQ-img/N.jpg and the attribute file.

Splits are by index, as in Harvey, Teng and Wood (arXiv 1906.05462, their published code): 0-1,999 to
annotate with sequences, 2,000-26,999 train, 27,000-27,499 validation, 27,500-29,999 test. A folder that
holds only part of the 30,000 images works: annotation rows without an image are left out. The faces are
aligned, or scattered over canvases, see `data.scatter`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from data.celebahq_annotations import read_annotations
from data.dataset import DataSet, Split
from data.decode import photo_store
from data.errors import DataError, SettingsError
from data.geometry import Geometry
from data.layouts import CELEBAHQ_ANNOTATIONS as ANNOTATIONS
from data.layouts import CELEBAHQ_IMAGES as IMAGES
from data.scatter import face_parts, scattered_split
from data.scatter_settings import GLIMPSE_SIZE, Scattering, scattering_of
from data.store import ImageStore

RANGES = {
    "design": range(0, 2000),
    "train": range(2000, 27000),
    "valid": range(27000, 27500),
    "test": range(27500, 30000),
}
DEFAULT_ATTRIBUTE = "Male"
SIZE, STRIDE, GLIMPSES = 224, 4, 5
EVERY = "all"


def load_celebahq(
    root: Path,
    attribute: str | None = None,
    scatter: bool = False,
    canvas: int | None = None,
    face_widths: tuple[int, int] | None = None,
    placements: int | None = None,
    seed: int | None = None,
    canvas_seed: int | None = None,
) -> DataSet:
    """A binary attribute of CelebA-HQ at 224 x 224, 16-pixel glimpses on the published 50 x 50 grid.

    Scattered faces are "celebahq-scatter": at random places of a canvas, with glimpses every 4 pixels.

    Args:
        root: folder in the official layout.
        attribute: one of the 40; several with commas between them, or "all", for a fit of them together.
        scatter: whether faces are scattered; the others say how, see `data.scatter_settings.Scattering`.
        canvas, face_widths, placements, seed, canvas_seed: of scattered faces alone.

    Raises:
        DataError: the folder or the annotation file is missing or damaged, or no annotated image exists; on
            opening a split, an image is unreadable, or there is none to put behind scattered faces.
        SettingsError: an attribute is none of the 40, or faces cannot be scattered so.
    """
    asked = {"canvas": canvas, "face_widths": face_widths, "placements": placements}
    asked |= {"seed": seed, "canvas_seed": canvas_seed}
    scattering = scattering_of({"scatter": scatter, **asked})
    names, ids, labels = read_annotations(root / ANNOTATIONS)
    columns = _columns(names, attribute)
    chosen = [names[column] for column in columns]
    here = _present(root / IMAGES, ids)
    notes = [] if attribute else [f"attribute not given, taking {DEFAULT_ATTRIBUTE}"]
    if len(here) < len(ids):
        notes.append(
            f"{len(ids) - len(here)} of {len(ids)} annotated images are not in {root / IMAGES}: left out"
        )
    classes = {name: (f"not {name}", name) for name in chosen}
    task = partial(
        DataSet,
        target=",".join(chosen),
        classes=classes[chosen[0]] if len(chosen) == 1 else ("absent", "present"),
        glimpses=GLIMPSES,
        note="; ".join(notes),
        symmetric=True,
        attributes=classes if len(chosen) > 1 else None,
    )
    faces = partial(_photographs, root, ids[here], labels[here])
    column = columns if len(columns) > 1 else columns[0]
    if scattering is not None:
        return _scattered(task, faces, ids[here], scattering, column)
    return task(
        "celebahq",
        geometry=Geometry(SIZE, SIZE, 3, GLIMPSE_SIZE, per_axis=50, last_excluded=True),
        openers={split: partial(_open_split, faces, split, column) for split in RANGES},
        aligned=True,
    )


def _scattered(
    task: Callable[..., DataSet],
    faces: Callable[[str], ImageStore],
    ids: np.ndarray,
    scattering: Scattering,
    column: int | list[int],
) -> DataSet:
    """The task on faces `ids` that are scattered."""
    canvas = scattering.canvas
    per_axis = (canvas - GLIMPSE_SIZE) // STRIDE + 1
    return task(
        "celebahq-scatter",
        geometry=Geometry(canvas, canvas, 3, GLIMPSE_SIZE, per_axis=per_axis),
        openers={split: partial(scattered_split, faces, split, scattering, column) for split in RANGES},
        parts=lambda split: face_parts(_of(split, ids), split, scattering),
    )


def _columns(names: list[str], attribute: str | None) -> list[int]:
    """Which of the attributes are asked for; raises SettingsError for one that there is not."""
    chosen = names if attribute == EVERY else (attribute or DEFAULT_ATTRIBUTE).split(",")
    for unknown in [name for name in chosen if name not in names]:
        raise SettingsError(f"expected one of the attributes {', '.join(names)}; found {unknown!r}")
    return [names.index(name) for name in chosen]


def _present(folder: Path, ids: np.ndarray) -> np.ndarray:
    """Rows whose image file exists."""
    files = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    here = np.array([n for n, i in enumerate(ids) if f"{i}.jpg" in files], dtype=np.int64)
    if len(here) == 0:
        raise DataError(
            f"expected annotated images N.jpg in {folder}, found none of {len(ids)}; set --data-root"
        )
    return here


def _of(split: str, ids: np.ndarray) -> np.ndarray:
    """Those of the ids that are of a split."""
    return ids[np.isin(ids, np.asarray(RANGES[split]))]


def _photographs(root: Path, ids: np.ndarray, labels: np.ndarray, split: str) -> ImageStore:
    """The aligned faces of a split, with all of their labels."""
    own = _of(split, ids)
    paths = [root / IMAGES / f"{i}.jpg" for i in own]
    return photo_store(paths, own, labels[np.isin(ids, own)], SIZE, title=f"decode {split}")


def _open_split(faces: Callable[[str], ImageStore], split: str, column: int | list[int]) -> Split:
    return Split.of(faces(split), column)
