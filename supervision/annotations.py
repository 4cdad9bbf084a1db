"""Annotated parts of objects: where they are, and which of them a glimpse goes to."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data.dataset import DataSet
from data.errors import DataError, SettingsError
from data.geometry import Geometry
from supervision.choices import COLUMNS

LARGEST = 2**63  # what an image's number is below
Place = tuple[float, float]
"""Row and column, in pixels."""
HIDDEN: Place = (math.nan, math.nan)


@dataclass(frozen=True)
class Annotations:
    """Where P parts are in A images.

    Attributes:
        order: names of the parts, in which the glimpses go to them.
        ids: (A,) int64 images, increasing; each has a visible part.
        centres: (A, P, 2) row and column in pixels; 0 where a part is not visible.
        visible: (A, P) bool.
        digest: SHA-256 of the file, or of the data set's parts.
    """

    order: tuple[str, ...]
    ids: Tensor
    centres: Tensor
    visible: Tensor
    digest: str

    def of(self, ids: Tensor) -> Tensor:
        """Those of the images `ids` that have a visible part."""
        return ids[torch.isin(ids, self.ids)]

    def places(self, ids: Tensor, glimpses: int) -> Tensor:
        """(N, T, 2) centres of the parts that the glimpses go to, in pixels; of images that `of` gives.

        Glimpse t goes to part t of the order, which begins again at its end. A hidden part gives way to the
        next visible one of the order.
        """
        rows = torch.searchsorted(self.ids, ids)
        chosen = visible_turns(self.visible[rows], glimpses)
        return self.centres[rows].gather(1, chosen[..., None].expand(-1, -1, 2))


def visible_turns(visible: Tensor, glimpses: int) -> Tensor:
    """(N, T) which of P parts each glimpse goes to: part t, or the next visible one after it, cyclically.

    Args:
        visible: (N, P) bool, with one visible part of each image at least.
        glimpses: T.

    >>> visible_turns(torch.tensor([[True, False, True], [False, True, False]]), 4).tolist()
    [[0, 2, 2, 0], [1, 1, 1, 1]]
    """
    parts = visible.shape[1]
    wanted = (torch.arange(glimpses)[:, None] + torch.arange(parts)) % parts  # (T, P) in order of preference
    first = visible[:, wanted].long().argmax(2)  # of equal values the first
    return wanted.expand(len(visible), -1, -1).gather(2, first[..., None]).squeeze(2)


def read_annotations(path: Path, order: Sequence[str], geometry: Geometry) -> Annotations:
    """Annotated parts from lines "image_id part_name row col visible", separated by white space.

    Rows and columns are pixels of the task's images, visible is 0 or 1. A part that an image has no line for
    is as good as hidden; parts that are not in the order and coordinates of hidden parts are not looked at.

    Args:
        order: names of the parts, in which the glimpses go to them.
        geometry: for the size of the images.

    Raises:
        SettingsError: the order is empty or names a part twice.
        DataError: no such file, a line that is none of these, a part told twice or outside its image, or a
            part of the order that the file does not have.
    """
    _require_different(order)
    found = _places(path, geometry)
    _require_known(order, {part for parts in found.values() for part in parts}, str(path))
    return _arranged(found, tuple(order), hashlib.sha256(path.read_bytes()).hexdigest())


def named_parts(dataset: DataSet, split: str, order: Sequence[str] | None = None) -> Annotations:
    """The parts that a data set itself names, of the images of a split.

    Args:
        order: names of the parts, in which the glimpses go to them; default the data set's.

    Raises:
        SettingsError: the data set names no parts, or the order is empty or names a part twice.
        DataError: its files of parts are damaged, or a part of the order is none of them.
    """
    if dataset.parts is None:
        raise SettingsError(
            f"expected a data set with named parts, found {dataset.name}; take cub, or celebahq with "
            "--scatter"
        )
    named, ids = dataset.parts(split), dataset[split].ids.cpu()
    order = named.order if order is None else tuple(order)
    _require_different(order)
    _require_known(order, named.names, f"the parts of {dataset.name}")
    digest = hashlib.sha256(repr(named.names).encode() + named.places.numpy().tobytes()).hexdigest()
    return _shown(order, ids, named.places[:, [named.names.index(part) for part in order]], digest)


def _require_different(order: Sequence[str]) -> None:
    if not order or "" in order or len(set(order)) < len(order):
        raise SettingsError(
            f"expected different parts in --order, found {','.join(order)!r}; separate their names by commas"
        )


def _require_known(order: Sequence[str], named: Collection[str], where: str) -> None:
    missing = [part for part in order if part not in named]
    if missing:
        raise DataError(
            f"expected part {missing[0]} of --order in {where}, found {', '.join(sorted(named)) or 'none'}; "
            "change the order"
        )


def _places(path: Path, geometry: Geometry) -> dict[int, dict[str, Place]]:
    """Image -> name of a part -> its place."""
    found = dict[int, dict[str, Place]]()
    for line, image, part, place in _lines(path, geometry):
        parts = found.setdefault(image, {})
        if part in parts:
            raise DataError(
                f"expected part {part} of image {image} once in {path}, found it again in line {line}; "
                "remove one"
            )
        parts[part] = place
    return found


def _arranged(parts: Mapping[int, Mapping[str, Place]], order: tuple[str, ...], digest: str) -> Annotations:
    """The parts of the order that were found in images."""
    ids = torch.tensor(sorted(parts), dtype=torch.int64)
    rows = [[parts[image].get(part, HIDDEN) for part in order] for image in sorted(parts)]
    return _shown(order, ids, torch.tensor(rows).view(len(ids), len(order), 2), digest)


def _shown(order: tuple[str, ...], ids: Tensor, places: Tensor, digest: str) -> Annotations:
    """Annotations from places (A, P, 2), NaN where hidden, of the images that show a part."""
    centres = places.to(torch.float32)
    visible = ~centres.isnan().any(2)
    shown = visible.any(1)
    return Annotations(order, ids[shown], centres.nan_to_num()[shown], visible[shown], digest)


def _lines(path: Path, geometry: Geometry) -> Iterator[tuple[int, int, str, Place]]:
    """Number of the line, image, name of the part, and its row and column, NaN where it is hidden."""
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            image, part, (row, col), visible = _parsed(words)
        except ValueError:
            raise DataError(
                f"expected lines '{COLUMNS}' in {path}, found {' '.join(words)!r} in line {number}; mend it"
            ) from None
        if visible and not (0 <= row <= geometry.height and 0 <= col <= geometry.width):
            raise DataError(
                f"expected parts inside images of {geometry.height} x {geometry.width} pixels in {path}, "
                f"found {' '.join(words)!r} in line {number}; give them in pixels of the task's images"
            )
        yield number, image, part, (row, col) if visible else HIDDEN


def _parsed(words: Sequence[str]) -> tuple[int, str, Place, bool]:
    """Image, name of the part, its place and whether it is visible; raises ValueError.

    >>> _parsed(["7", "beak", "10.5", "3", "1"])
    (7, 'beak', (10.5, 3.0), True)
    """
    image, part, row, col, visible = words
    if not 0 <= int(image) < LARGEST or visible not in ("0", "1"):
        raise ValueError(words)
    return int(image), part, (float(row), float(col)), visible == "1"


def _text(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"expected annotated parts in {path}, found no file; give another to --parts")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"expected text in {path}, found other bytes ({error}); save it as UTF-8") from None
