"""The attribute file of CelebA-HQ: checked line by line, for editions of it differ."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from data.errors import DataError, one_line
from data.layouts import CELEBAHQ as LAYOUT

VALUES = ("-1", "1")
DIGITS = 15
FIRST = 3  # line of the first image


def read_annotations(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Attribute names, image indices (N,) in increasing order and labels (N, A) in {0, 1}.

    Line 1 is the number of images, line 2 the names, and every other one an image's file and -1 or 1 for each
    name, with blanks between. Line ends and a byte order mark do not matter.

    Raises:
        DataError: there is no such file, or a line is another; the message says which and what it holds.
    """
    if not path.parent.is_dir():
        raise DataError(f"expected a folder with {LAYOUT}, found no folder {path.parent}; set --data-root")
    if not path.is_file():
        raise DataError(
            f"expected the annotation file {path}, found none; set --data-root to the folder that holds it"
        )
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    if not lines or not _is_number(lines[0].strip()):
        raise _other(path, 1, "the number of images", lines[0] if lines else "nothing")
    names = lines[1].split() if len(lines) > 1 else []
    rows = [(number, line.split()) for number, line in enumerate(lines[2:], FIRST) if line.strip()]
    if not names or not rows:
        raise _other(path, 2, "the names of attributes, and images below", lines[1] if names else "nothing")
    for number, row in rows:
        _require_row(path, number, row, names)
    if len(rows) != int(lines[0]):
        raise _other(path, 1, f"the number of the {len(rows)} images below", lines[0].strip())
    ids = np.array([int(row[0].removesuffix(".jpg")) for _, row in rows], dtype=np.int64)
    _require_once(path, ids)
    order = np.argsort(ids)
    labels = np.array([[value == "1" for value in row[1:]] for _, row in rows], dtype=np.int64)
    return names, ids[order], labels[order]


def _require_row(path: Path, number: int, row: list[str], names: list[str]) -> None:
    stem = row[0].removesuffix(".jpg")
    if not _is_number(stem):
        raise _other(path, number, "an image N.jpg", " ".join(row))
    if len(row) != 1 + len(names) or any(value not in VALUES for value in row[1:]):
        raise _other(path, number, f"N.jpg and {len(names)} values of -1 or 1", " ".join(row))


def _is_number(word: str) -> bool:
    """Whether a word is a number from 0 on, of no more digits than an array takes."""
    return word.isascii() and word.isdecimal() and len(word) <= DIGITS


def _require_once(path: Path, ids: np.ndarray) -> None:
    again = [n for n, count in Counter(ids.tolist()).items() if count > 1]
    if again:
        raise DataError(
            f"expected every image once in {path}, found {len(again)} of them twice, as {again[0]}.jpg; "
            "leave one row of each"
        )


def _other(path: Path, number: int, expected: str, found: str) -> DataError:
    return DataError(
        f"expected {expected} in line {number} of {path}, found {one_line(found)}; fetch the file in its "
        "official layout, with blanks instead of commas"
    )
