"""Data sets by name: what the command lines offer, and which options each of them takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import DataError, SettingsError
from data.plugins import Registry

if TYPE_CHECKING:
    from data.dataset import DataSet  # slow to import, and no name needs it


@dataclass(frozen=True)
class Entry:
    """One data set of the registry.

    Args:
        open: makes the data set; takes the data root first if there is a layout, then the options.
        summary: one line for a list of data sets.
        layout: of the data root, or "" for a data set that needs none.
        options: names of the keyword options that apply.
    """

    open: Callable[..., DataSet]
    summary: str
    layout: str = ""
    options: tuple[str, ...] = ()


_NAMES = ("digits", "mnist", "translated-mnist", "cluttered-mnist", "celebahq", "cub", "folder", "finite")

DATASETS: Registry[Entry] = Registry("data set", dict.fromkeys(_NAMES, "data.entries"))
"""Data sets: `Entry`; nothing is imported for a name alone."""


def load(
    name: str,
    data_root: str | Path | None = None,
    *,
    attribute: str | None = None,
    canvas: int | None = None,
    seed: int | None = None,
    region: str | None = None,
    placements: int | None = None,
) -> DataSet:
    """The data set of that name; images are read or made when a split is first asked for.

    Args:
        name: a key of `DATASETS`.
        data_root: folder of the images, in the layout that the entry names.
        attribute: what to predict (celebahq; default Male).
        canvas: side in pixels (translated-mnist, cluttered-mnist; default 60).
        seed: of places and clutter (digits, translated-mnist, cluttered-mnist), of draws (finite); default 0.
        region: where on the canvas digits lie (translated-mnist, cluttered-mnist): all (default), inner or
            outer, see `data.canvas.confined`.
        placements: of each training digit on a canvas (translated-mnist, cluttered-mnist; default 1).

    Raises:
        SettingsError: unknown name, or an option that this data set does not take.
        DataError: the data root is needed and not given, or is not in its layout.

    >>> load("digits").geometry.height
    40
    """
    entry = DATASETS.require(name)
    given = {"attribute": attribute, "canvas": canvas, "seed": seed, "region": region}
    given |= {"placements": placements}
    options = {option: value for option, value in given.items() if value is not None}
    _require_applicable(name, entry, options)
    if not entry.layout:
        if data_root is not None:
            raise SettingsError(f"expected no data root for {name}, found {data_root}; leave it out")
        return entry.open(**options)
    if data_root is None:
        raise DataError(
            f"expected a folder with {entry.layout} for {name}, found none given; set --data-root"
        )
    return entry.open(Path(data_root), **options)


def _require_applicable(name: str, entry: Entry, options: dict[str, Any]) -> None:
    for option, value in options.items():
        if option not in entry.options:
            takers = [other for other, its in DATASETS.items() if option in its.options]
            raise SettingsError(
                f"expected no {option} for {name}, found {value!r}; it applies to {', '.join(takers)}"
            )
