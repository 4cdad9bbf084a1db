"""Any photographs in folders named by class, as in ImageNet: train/CLASS/*.jpg and val/CLASS/*.jpg.

The validation folder is the test split. Training files are parted by a hash of their relative path into
design (10 %), valid (10 %) and train (80 %), so that a file stays in its split when others come or go.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data.dataset import SPLITS, DataSet, Split
from data.decode import photo_store
from data.errors import DataError
from data.geometry import Geometry
from data.layouts import FOLDER as LAYOUT

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
)
GLIMPSE_SIZE, STRIDE = 16, 4
FEW = 5  # names in a note


def load_folder(root: Path, size: int = 128, classes: Sequence[str] | None = None) -> DataSet:
    """Photographs in class folders at size x size, 16-pixel glimpses about every 4 pixels, 5 of them.

    Classes are the sorted folder names of train/, or of val/ where there is no train/. An image's id is
    its position in the sorted list of all image files of these classes in train/ or val/.

    Args:
        root: folder that holds train/ and val/, or one of them.
        size: side in pixels to which the central square of every photograph is resampled.
        classes: names of the folders to take; None: all of them.

    Raises:
        DataError: no such folder, no class folders or no images, or none of a class that is wanted; on
            opening a split, its folder is missing or an image is unreadable.
        SettingsError: `size` is smaller than a glimpse (on taking the grid).
    """
    top = next((root / name for name in ("train", "val") if (root / name).is_dir()), None)
    if top is None:
        found = "neither" if root.is_dir() else "a file" if root.exists() else f"no folder {root}"
        raise DataError(f"expected {LAYOUT} in {root}, found {found}; set --data-root")
    names = _wanted(top, classes)
    listed = Listing.of(top, names)
    _require_task(top, listed, wanted=classes is not None)
    geometry = Geometry(size, size, 3, GLIMPSE_SIZE, per_axis=max(1, (size - GLIMPSE_SIZE) // STRIDE + 1))
    only = names if classes is not None else None
    openers = {split: partial(_open_split, root, split, names, size, only) for split in SPLITS}
    parts = [part for part in ("train", "val") if (root / part).is_dir()]
    told = {part: Listing.of(root / part, only).told(names) for part in parts}
    notes = "; ".join(f"{part}/: {note}" for part, note in told.items() if note)
    files = partial(_files, root, only)
    return DataSet("folder", "label", names, geometry, 5, openers, notes, symmetric=True, files=files)


def _wanted(top: Path, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Sorted names of the class folders to take."""
    there = _classes(top)
    if classes is None:
        return there
    missing = sorted(set(classes) - set(there))
    if missing:
        more = f" and of {len(missing) - 1} more" if missing[1:] else ""
        raise DataError(
            f"expected a folder {missing[0]} in {top}, found none{more}; change the list of classes"
        )
    return tuple(sorted(set(classes)))


def _top(root: Path, split: str) -> Path:
    return root / ("val" if split == "test" else "train")


def _of_split(files: Sequence[str], split: str) -> list[int]:
    """Positions of the files of a split in the sorted list."""
    return [n for n, name in enumerate(files) if split == "test" or part_of_training(name) == split]


def _files(root: Path, only: Sequence[str] | None, split: str) -> list[str]:
    """Paths of the images of a split from the root, see `data.dataset.DataSet`."""
    top = _top(root, split)
    files = Listing.of(top, only).images
    return [f"{top.name}/{files[n]}" for n in _of_split(files, split)]


def _open_split(
    root: Path, split: str, classes: tuple[str, ...], size: int, only: Sequence[str] | None
) -> Split:
    top = _top(root, split)
    if not top.is_dir():
        raise DataError(f"expected the {split} images in {top}/CLASS/, found no such folder; set --data-root")
    strangers = sorted(set(_classes(top)) - set(classes))
    if strangers and only is None:
        raise DataError(f"expected only classes of train/ in {top}, found {strangers[0]}; move or remove it")
    files = Listing.of(top, only).images
    chosen = _of_split(files, split)
    labels = [classes.index(files[n].split("/")[0]) for n in chosen]
    paths = [top / files[n] for n in chosen]
    store = photo_store(
        paths, np.array(chosen, np.int64), np.array(labels, np.int64), size, title=f"decode {split}"
    )
    return Split.of(store)


def _classes(top: Path) -> tuple[str, ...]:
    names = sorted(entry.name for entry in top.iterdir() if entry.is_dir() and entry.name[0] != ".")
    if not names:
        raise DataError(f"expected one folder per class in {top}, found none; set --data-root")
    return tuple(names)


@dataclass(frozen=True)
class Listing:
    """What the class folders of train/ or val/ hold.

    Attributes:
        images: sorted "CLASS/file"; names with a leading dot are no images.
        others: how many files of each other suffix.
        hidden: files with a leading dot.
        folders: inside of class folders.
    """

    images: list[str]
    others: Counter[str]
    hidden: int
    folders: int

    @classmethod
    def of(cls, top: Path, classes: Sequence[str] | None = None) -> Listing:
        """Reads names alone, of these classes or of all."""
        images, others, hidden, folders = list[str](), Counter[str](), 0, 0
        for name in (each for each in _classes(top) if classes is None or each in classes):
            for entry in (top / name).iterdir():
                if entry.name[0] == ".":
                    hidden += 1
                elif entry.is_dir():
                    folders += 1
                elif entry.suffix.lower() in SUFFIXES:
                    images.append(f"{name}/{entry.name}")
                else:
                    others[entry.suffix.lower() or "no suffix"] += 1
        return cls(sorted(images), others, hidden, folders)

    @property
    def classes(self) -> set[str]:
        """Those with an image."""
        return {name.split("/")[0] for name in self.images}

    def told(self, classes: Sequence[str]) -> str:
        """What was left out, and which of the classes have no image; "" if nothing."""
        missing = sorted(set(classes) - self.classes)
        kinds = ", ".join(f"{suffix} {count}" for suffix, count in self.others.most_common(FEW))
        parts = [
            f"{self.others.total()} files left out that are no images ({kinds})" if self.others else "",
            f"{self.hidden} hidden files left out" if self.hidden else "",
            f"{self.folders} folders inside of class folders left out" if self.folders else "",
            f"no image of {len(missing)} classes ({', '.join(missing[:FEW])})" if missing else "",
        ]
        return ", ".join(part for part in parts if part)


def _require_task(top: Path, listed: Listing, *, wanted: bool) -> None:
    """Raises DataError where there is nothing to tell apart, by a list of wanted classes or without one."""
    if not listed.images:
        suffixes = ", ".join(SUFFIXES)
        found = listed.told(()) or "none"
        raise DataError(f"expected images in {top}/CLASS/ ({suffixes}), found {found}; set --data-root")
    if len(listed.classes) < 2 and top.name == "train":  # images of one class can be tested
        cure = "set --data-root to the folder above the class folders' own"
        raise DataError(
            f"expected images of two classes at least in {top}/CLASS/, found those of "
            f"{', '.join(listed.classes)} alone; {'name another in the list of classes' if wanted else cure}"
        )


def part_of_training(name: str) -> str:
    """The split of a training file.

    >>> names = [part_of_training(f"cat/{n}.jpg") for n in range(1000)]
    >>> [names.count(split) for split in ("design", "valid", "train")]
    [105, 106, 789]
    """
    tenth = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") % 10
    return {0: "design", 1: "valid"}.get(tenth, "train")
