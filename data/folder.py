"""Any photographs in folders named by class: CLASS/*.jpg, or train/CLASS/*.jpg and val/CLASS/*.jpg.

The latter are as in ImageNet: the validation folder is the test split, and training files are parted by a
hash of their relative path into design (10 %), valid (10 %) and train (80 %), so that a file stays in its
split when others come or go. Where there is neither train/ nor val/, all files are parted by a hash of their
bytes, see `data.parting`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from data.class_folders import SUFFIXES, Listing, class_folders
from data.dataset import SPLITS, DataSet, Split
from data.decode import photo_store
from data.errors import DataError
from data.geometry import Geometry
from data.layouts import FOLDER as LAYOUT
from data.parting import PARTED, first_copies, part_of_bytes

GLIMPSE_SIZE, STRIDE = 16, 4
ABOVE = "give the folder above those of the classes"  # what to do


def load_folder(root: Path, size: int = 128, classes: Sequence[str] | None = None) -> DataSet:
    """Photographs in class folders at size x size, 16-pixel glimpses about every 4 pixels, 5 of them.

    Classes are the sorted folder names of train/, or of val/ where there is no train/. An image's id is
    its position in the sorted list of all image files of these classes in train/ or val/, or in `root`.

    Args:
        root: folder that holds train/ and val/, or one of them, or else the class folders themselves.
        size: side in pixels to which the central square of every photograph is resampled.
        classes: names of the folders to take; None: all of them.

    Raises:
        DataError: no such folder, no class folders or no images, or none of a class that is wanted; on
            opening a split, its folder is missing or an image is unreadable.
        SettingsError: `size` is smaller than a glimpse (on taking the grid).
    """
    _require_folder(root)
    parts = [part for part in ("train", "val") if (root / part).is_dir()]
    top = root / parts[0] if parts else root
    names = _wanted(top, classes, plain=not parts)
    listed = Listing.of(top, names)
    _require_task(top, listed, wanted=classes is not None, tested_alone=parts == ["val"])
    geometry = Geometry(size, size, 3, GLIMPSE_SIZE, per_axis=max(1, (size - GLIMPSE_SIZE) // STRIDE + 1))
    photographs = Photographs(root, names, names if classes is not None or not parts else None, not parts)
    openers = {split: partial(photographs.open, split, size) for split in SPLITS}
    return DataSet(
        "folder",
        "label",
        names,
        geometry,
        5,
        openers,
        photographs.told(parts),
        symmetric=True,
        files=photographs.files,
    )


@dataclass(frozen=True)
class Photographs:
    """The files of the four splits.

    Attributes:
        root: see `load_folder`.
        classes: names of the K classes.
        only: the folders to take; None: all, which have to be of these classes.
        plain: whether the class folders lie in `root` itself.
    """

    root: Path
    classes: tuple[str, ...]
    only: tuple[str, ...] | None
    plain: bool

    def open(self, split: str, size: int) -> Split:
        """Its images and labels.

        Raises:
            DataError: its folder is missing, has other classes or an image that is unreadable.
        """
        top = self._top(split)
        if not top.is_dir():
            raise DataError(f"expected the {split} images in {top}/CLASS/, found no such folder; add it")
        strangers = sorted(set(class_folders(top)) - set(self.classes))
        if strangers and self.only is None:
            raise DataError(
                f"expected only classes of train/ in {top}, found {strangers[0]}; move or remove it"
            )
        files = Listing.of(top, self.only).images
        chosen = self._rows(split, files)
        labels = np.array([self.classes.index(files[n].split("/")[0]) for n in chosen], np.int64)
        paths, ids = [top / files[n] for n in chosen], np.array(chosen, np.int64)
        opened = Split.of(photo_store(paths, ids, labels, size, title=f"decode {split}"))
        if not self.plain:
            return opened
        return replace(opened, groups=torch.from_numpy(ids[first_copies(paths)]))

    def files(self, split: str) -> list[str]:
        """Paths of the images of a split from the root, see `data.dataset.DataSet`."""
        top = self._top(split)
        files = Listing.of(top, self.only).images
        inside = "" if self.plain else f"{top.name}/"
        return [f"{inside}{files[n]}" for n in self._rows(split, files)]

    def told(self, parts: Sequence[str]) -> str:
        """What was left out, of each part, and how files are parted where they are."""
        wanted = self.classes if self.only is None or self.plain else self.only
        known = {f"{part}/": Listing.of(self.root / part, self.only) for part in parts}
        known |= {"here": Listing.of(self.root)} if self.plain else {}
        notes = [f"{part}: {note}" for part, its in known.items() if (note := its.told(wanted))]
        return "; ".join([*notes, *([PARTED] if self.plain else [])])

    def _top(self, split: str) -> Path:
        return self.root if self.plain else self.root / ("val" if split == "test" else "train")

    def _rows(self, split: str, files: Sequence[str]) -> list[int]:
        """Positions of the files of a split in the sorted list."""
        if self.plain:
            parts = part_of_bytes([self.root / name for name in files])
            return [n for n, part in enumerate(parts) if part == split]
        return [n for n, name in enumerate(files) if split == "test" or part_of_training(name) == split]


def _require_folder(root: Path) -> None:
    """Raises DataError for what cannot be the folder above those of the classes."""
    if not root.is_dir():
        found = "a file" if root.exists() else f"no folder {root}"
        raise DataError(f"expected {LAYOUT} in {root}, found {found}; {ABOVE}")
    if not any(entry.is_dir() and entry.name[0] != "." for entry in root.iterdir()):
        images = sum(entry.suffix.lower() in SUFFIXES for entry in root.iterdir())
        found = f"{images} images in no folder of a class" if images else "none of them"
        raise DataError(f"expected {LAYOUT} in {root}, found {found}; {ABOVE}")


def _wanted(top: Path, classes: Sequence[str] | None, *, plain: bool) -> tuple[str, ...]:
    """Sorted names of the class folders to take; where nobody has parted them, those with an image."""
    there = class_folders(top)
    if classes is None:
        seen = Listing.of(top).classes if plain else set()
        return tuple(sorted(seen)) or there
    missing = sorted(set(classes) - set(there))
    if missing:
        more = f" and of {len(missing) - 1} more" if missing[1:] else ""
        raise DataError(
            f"expected a folder {missing[0]} in {top}, found none{more}; change the list of classes"
        )
    return tuple(sorted(set(classes)))


def _require_task(top: Path, listed: Listing, *, wanted: bool, tested_alone: bool) -> None:
    """Raises DataError where there is nothing to tell apart, by a list of wanted classes or without one.

    Args:
        tested_alone: there are test images alone, and these may be of one class.
    """
    if not listed.images:
        suffixes = ", ".join(SUFFIXES)
        found = listed.told(()) or "none"
        raise DataError(f"expected images in {top}/CLASS/ ({suffixes}), found {found}; {ABOVE}")
    if len(listed.classes) < 2 and not tested_alone:
        raise DataError(
            f"expected images of two classes at least in {top}/CLASS/, found those of "
            f"{', '.join(listed.classes)} alone; {'name another in the list of classes' if wanted else ABOVE}"
        )


def part_of_training(name: str) -> str:
    """The split of a training file.

    >>> names = [part_of_training(f"cat/{n}.jpg") for n in range(1000)]
    >>> [names.count(split) for split in ("design", "valid", "train")]
    [105, 106, 789]
    """
    tenth = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") % 10
    return {0: "design", 1: "valid"}.get(tenth, "train")
