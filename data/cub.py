"""Caltech-UCSD Birds 200-2011 in its official layout: photographs of birds, with boxes and named parts.

Splits: test = the official test images; the official training images are parted as those of class folders,
by a hash of their path, into design (10 %), valid (10 %) and train (80 %). An image's id is its number in
images.txt. The files tell boxes and parts in pixels of the photographs; what is given is in pixels of the
task's images, the resampled central squares.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from data.dataset import SPLITS, DataSet, NamedParts, Split
from data.decode import in_square, photo_extents, photo_store
from data.errors import DataError
from data.folder import part_of_training
from data.geometry import Geometry
from data.layouts import CUB as LAYOUT

FOLDER = "CUB_200_2011"
IMAGES, CLASSES = "images.txt", "image_class_labels.txt"
TRAINING, BOXES = "train_test_split.txt", "bounding_boxes.txt"
PARTS, PLACES = "parts/parts.txt", "parts/part_locs.txt"
COLUMNS = {
    IMAGES: "id path",
    CLASSES: "id class",
    TRAINING: "id is_train",
    BOXES: "id x y width height",
    PARTS: "part_id name",
    PLACES: "id part_id x y visible",
}
FLAGS, EXTENTS, REAL = ("is_train", "visible"), ("width", "height"), ("x", "y", "width", "height")
ORDER = ("beak", "left eye", "right eye", "forehead", "belly")
SIZE, GLIMPSE_SIZE, STRIDE, GLIMPSES = 128, 32, 8, 5  # as the published sequences of birds


@dataclass(frozen=True)
class _Birds:
    """What the files tell of N images.

    Attributes:
        paths: N photographs.
        ids: (N,) increasing.
        labels: (N,).
        boxes: (N, 4) x, y, width and height in pixels of the photograph.
    """

    paths: tuple[Path, ...]
    ids: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray

    def of(self, rows: np.ndarray) -> _Birds:
        """Some of the images."""
        paths = tuple(self.paths[row] for row in rows)
        return _Birds(paths, self.ids[rows], self.labels[rows], self.boxes[rows])


def load_cub(root: Path, size: int = SIZE) -> DataSet:
    """Species of birds at size x size, 32-pixel glimpses about every 8 pixels, 5 of them.

    Args:
        root: folder in the official layout, or the one that CUB_200_2011/ lies in.
        size: side in pixels to which the central square of every photograph is resampled.

    Raises:
        DataError: no such folder, or a file is missing or has a line that is not as expected; on opening a
            split or its parts, a photograph is missing or unreadable.
        SettingsError: `size` is smaller than a glimpse (on taking the grid).
    """
    folder = _folder(root)
    classes, members = _read_birds(folder)
    return DataSet(
        "cub",
        "label",
        classes,
        Geometry(size, size, 3, GLIMPSE_SIZE, per_axis=max(1, (size - GLIMPSE_SIZE) // STRIDE + 1)),
        GLIMPSES,
        {split: partial(_open_split, members[split], split, size) for split in SPLITS},
        symmetric=True,
        parts=lambda split: _named_parts(folder, members[split], size),
        files=lambda split: [str(path.relative_to(folder / "images")) for path in members[split].paths],
    )


def _read_birds(folder: Path) -> tuple[tuple[str, ...], dict[str, _Birds]]:
    """Names of the classes, which are those of their folders, and the images of every split."""
    names = _names(folder, IMAGES)
    ids = np.array(sorted(names))
    numbers, training, boxes = (_of(ids, folder, file) for file in (CLASSES, TRAINING, BOXES))
    _, first, labels = np.unique(numbers[:, 0], return_index=True, return_inverse=True)
    paths = tuple(folder / "images" / names[i] for i in ids)
    birds = _Birds(paths, ids, labels, boxes)
    official = zip(ids, training[:, 0], strict=True)
    splits = np.array([part_of_training(names[i]) if train else "test" for i, train in official])
    classes = tuple(names[i].split("/")[0] for i in ids[first])
    return classes, {split: birds.of(np.flatnonzero(splits == split)) for split in SPLITS}


def _open_split(birds: _Birds, split: str, size: int) -> Split:
    missing = next((path for path in birds.paths if not path.is_file()), None)
    if missing is not None:
        raise DataError(f"expected the photograph {missing}, found none; set --data-root")
    store = photo_store(birds.paths, birds.ids, birds.labels, size, title=f"decode {split}")
    boxes = square_boxes(birds.boxes, photo_extents(birds.paths), size)
    return replace(Split.of(store), boxes=torch.from_numpy(boxes))


def square_boxes(boxes: np.ndarray, extents: np.ndarray, size: int) -> np.ndarray:
    """(N, 4) int64 first row and column of objects, and those after their last, in the images of the task.

    Every pixel that an object touches counts. An object that is wholly outside of the image has a box of one
    pixel at the border nearest to it.

    Args:
        boxes: (N, 4) x, y, width and height in pixels of the photographs.
        extents: (N, 2) height and width of the photographs in pixels.
        size: side of the images in pixels.

    >>> square_boxes(np.array([[10.0, 6, 10, 9], [0, 0, 2, 30]]), np.array([[30, 40]] * 2), 60).tolist()
    [[12, 10, 30, 30], [0, 0, 60, 1]]
    """
    start, extent = boxes[:, [1, 0]], boxes[:, [3, 2]]
    corners = np.stack([start, start + extent], 1)
    points = in_square(corners, extents, size).round(6)  # 12.0000001 is 12
    first = np.floor(points[:, 0]).clip(0, size - 1)
    last = np.ceil(points[:, 1]).clip(first + 1, size)
    return np.concatenate([first, last], 1).astype(np.int64)


def _named_parts(folder: Path, birds: _Birds, size: int) -> NamedParts:
    names, rows = _names(folder, PARTS), _numbers(folder, PLACES)
    numbers = np.array(sorted(names))
    _require_parts(rows, numbers, folder / PLACES)
    shown = rows[np.isin(rows[:, 0], birds.ids) & (rows[:, 4] == 1)]
    image, part = np.searchsorted(birds.ids, shown[:, 0]), np.searchsorted(numbers, shown[:, 1])
    places = np.full((len(birds.ids), len(numbers), 2), np.nan)
    places[image, part] = shown[:, [3, 2]]
    places = in_square(places, photo_extents(birds.paths), size)
    places[~((places >= 0) & (places <= size)).all(-1)] = np.nan
    part_names = tuple(names[number] for number in numbers)
    order = tuple(part for part in ORDER if part in part_names)
    return NamedParts(part_names, torch.from_numpy(places), order or part_names)


def _require_parts(rows: np.ndarray, numbers: np.ndarray, path: Path) -> None:
    unknown = rows[~np.isin(rows[:, 1], numbers), 1]
    if len(unknown):
        raise DataError(
            f"expected parts of {PARTS} in {path}, found {unknown[0]:.0f}; set --data-root to whole files"
        )
    pairs, counts = np.unique(rows[:, :2], axis=0, return_counts=True)
    if (counts > 1).any():
        image, part = pairs[counts.argmax()]
        raise DataError(
            f"expected every part of an image once in {path}, found part {part:.0f} of image {image:.0f} "
            f"{counts.max()} times; set --data-root to whole files"
        )


def _folder(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(f"expected a folder with {LAYOUT}, found no folder {root}; set --data-root")
    return root / FOLDER if (root / FOLDER).is_dir() else root


def _of(ids: np.ndarray, folder: Path, file: str) -> np.ndarray:
    """(N, columns) what a file tells of the images; lines of others are passed over."""
    rows = _numbers(folder, file)
    counts = Counter(rows[:, 0].tolist())
    wrong = next((i for i in ids.tolist() if counts[i] != 1), None)
    if wrong is not None:
        raise DataError(
            f"expected one line for each image of {IMAGES} in {folder / file}, found {counts[wrong]} for "
            f"image {wrong}; set --data-root to whole files"
        )
    kept = rows[np.isin(rows[:, 0], ids)]
    return kept[kept[:, 0].argsort(), 1:]


def _names(folder: Path, file: str) -> dict[int, str]:
    """Number -> name, of a file that numbers names."""
    names = dict[int, str]()
    for number, name in _lines(folder, file):
        if int(number) in names:
            raise DataError(
                f"expected number {number} once in {folder / file}, found it again at {name}; "
                "set --data-root to whole files"
            )
        names[int(number)] = name
    return names


def _numbers(folder: Path, file: str) -> np.ndarray:
    """(N, columns) float64, of a file that has numbers only."""
    return np.array([[float(word) for word in words] for words in _lines(folder, file)])


def _lines(folder: Path, file: str) -> Iterator[list[str]]:
    """The words of every line, as many as `COLUMNS` has and each of its kind; a name may have blanks."""
    path, columns = folder / file, COLUMNS[file].split()
    expected = f"expected lines '{COLUMNS[file]}' in {path}"
    if not path.is_file():
        raise DataError(f"{expected}, found no file; set --data-root")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if not any(line.strip() for line in lines):
        raise DataError(f"{expected}, found none; set --data-root")
    for number, line in enumerate(lines, 1):
        words = line.strip().split(maxsplit=len(columns) - 1)
        if words and not (len(words) == len(columns) and all(map(_is_one, columns, words))):
            raise DataError(f"{expected}, found {line.strip()!r} in line {number}; set --data-root")
        if words:
            yield words


def _is_one(column: str, word: str) -> bool:
    """Whether a word can stand in a column.

    >>> _is_one("id", "7"), _is_one("id", "7.5"), _is_one("x", "7.5"), _is_one("visible", "2")
    (True, False, True, False)
    """
    if column in ("name", "path"):
        return True
    if column in FLAGS:
        return word in ("0", "1")
    if column not in REAL:
        return word.isascii() and word.isdigit() and len(word) < 16  # exact as a float
    try:
        value = float(word)
    except ValueError:
        return False
    return math.isfinite(value) and (value >= 0 or column not in EXTENTS)
