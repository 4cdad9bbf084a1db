"""Data sets by name: what the command lines offer, and which options each of them takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data import celebahq, cub, folder, mnist
from data.dataset import DataSet
from data.digits import load_digits
from data.errors import DataError, SettingsError
from data.finite import load_finite


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


def _mnist(variant: str) -> Callable[..., DataSet]:
    return partial(mnist.load_mnist, variant=variant)


ON_CANVAS = ("canvas", "seed", "region", "placements")
DATASETS: dict[str, Entry] = {
    "digits": Entry(load_digits, "1,797 small digits among clutter, 40 x 40, built in", options=("seed",)),
    "mnist": Entry(_mnist("mnist"), "MNIST, 28 x 28", mnist.LAYOUT),
    "translated-mnist": Entry(
        _mnist("translated-mnist"), "MNIST anywhere on a canvas", mnist.LAYOUT, ON_CANVAS
    ),
    "cluttered-mnist": Entry(_mnist("cluttered-mnist"), "the same among clutter", mnist.LAYOUT, ON_CANVAS),
    "celebahq": Entry(
        celebahq.load_celebahq, "an attribute of faces, 224 x 224", celebahq.LAYOUT, ("attribute",)
    ),
    "cub": Entry(cub.load_cub, "birds with boxes and named parts, 128 x 128", cub.LAYOUT),
    "folder": Entry(folder.load_folder, "photographs in class folders, 128 x 128", folder.LAYOUT),
    "finite": Entry(load_finite, "draws from 5,760 known images, 32 x 32, built in", options=("seed",)),
}


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
    if name not in DATASETS:
        raise SettingsError(f"expected a data set of {', '.join(DATASETS)}; found {name!r}")
    entry = DATASETS[name]
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
