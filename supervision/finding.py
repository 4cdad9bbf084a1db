"""Whether sequences find a part of their objects: those of a store, or designs in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from data.dataset import DataSet
from data.errors import SettingsError, StoreError
from data.finding import FindingRow, find
from supervision.choices import SPLITS
from supervision.source import SequenceSource

OBJECT = "object"
"""The part in the middle of the object's box, which every data set with boxes has."""


def measure_finding(source: SequenceSource, dataset: DataSet, part: str = OBJECT) -> list[FindingRow]:
    """One row for each glimpse of all finished sequences, see `data.finding.find`.

    Args:
        source: of images of the design or train split.
        dataset: that it was made for.
        part: a name among those of the data set's parts, or "object": the middle of its box.

    Raises:
        SettingsError: the data set knows no boxes, or no such part.
        DataError: no image shows the part.
        StoreError: nothing is finished, or the sequences are of other images.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from data.registry import load
    >>> from supervision.parts import write_parts
    >>> digits = load("digits")
    >>> with TemporaryDirectory() as folder:  # the middle of the image first, then parts of the box
    ...     store = write_parts(Path(folder, "a.h5"), digits, "design", glimpses=2)
    ...     first, second = measure_finding(store, digits)
    >>> first.found == first.central, second.found > 5 * second.random
    (True, True)
    """
    split = split_of(source, dataset)
    rows = source.done.nonzero().view(-1)
    if not len(rows):
        raise StoreError(f"expected finished sequences in {source.name}, found none; make them to the end")
    places = source.load(rows).locations
    return find(places, part_places(dataset, split, source.ids[rows], part), source.geometry)


def part_places(dataset: DataSet, split: str, ids: Tensor, part: str = OBJECT) -> Tensor:
    """(N, 1, 2) row and column in pixels of a part in the images `ids` (N,); NaN where it is hidden.

    Args:
        part: see `measure_finding`.

    Raises:
        SettingsError, StoreError: see `measure_finding`.

    >>> from data.registry import load
    >>> digits = load("digits")
    >>> part_places(digits, "design", digits["design"].ids[:2]).shape
    torch.Size([2, 1, 2])
    """
    images = dataset[split]
    row = torch.searchsorted(images.ids.cpu(), ids).clamp(max=len(images) - 1)
    if not torch.equal(images.ids.cpu()[row], ids):
        raise StoreError(
            f"expected sequences of images of {dataset.name} {split}, found others; use the same --data-root"
        )
    if part == OBJECT and images.boxes is not None:
        boxes = images.boxes.cpu()[row].double()
        return (boxes[:, :2] + boxes[:, 2:])[:, None] / 2
    if part == OBJECT:
        raise SettingsError(
            f"expected a data set that knows where its objects are, found {dataset.name}; take digits, "
            "translated-mnist, cluttered-mnist, cub or celebahq with --scatter"
        )
    if dataset.parts is None:
        raise SettingsError(
            f"expected a data set with named parts for --part, found {dataset.name}; take cub, or celebahq "
            "with --scatter, or leave it out"
        )
    named = dataset.parts(split)
    if part not in named.names:
        raise SettingsError(
            f"expected a part of {dataset.name}: {', '.join(named.names)}; found {part!r}, change --part"
        )
    return named.places[row][:, [named.names.index(part)]]


def split_of(source: SequenceSource, dataset: DataSet) -> str:
    """The name of the split whose images have the sequences: design, or train; a third one is refused.

    Raises:
        StoreError: they are of other images.
    """
    design, train = SPLITS
    found = source.settings.get("fingerprint")
    if dataset[design].fingerprint != found and dataset[train].fingerprint == found:
        return train
    source.require({"fingerprint": dataset[design].fingerprint})
    return design
