"""A made-up folder of faces in the official layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.layouts import CELEBAHQ_ANNOTATIONS as ANNOTATIONS

ANNOTATED = [0, 1, 1999, 2000, 26999, 27000, 27499, 27500, 29999]
MALE = [1, -1, 1, 1, -1, 1, -1, -1, 1]


def annotate(root: Path, ids: Sequence[int] = ANNOTATED, male: Sequence[int] = MALE) -> None:
    """Writes the attributes Young and Male, of which each image has one, into `root`."""
    root.mkdir(parents=True, exist_ok=True)
    rows = [f"{i}.jpg  {-value} {value}" for i, value in zip(ids, male, strict=True)]
    (root / ANNOTATIONS).write_text("\n".join([str(len(rows)), "Young Male ", *rows]) + "\n")
