"""Data sets by name, and the options that each of them takes; nothing is imported for a name alone.

A data set is a function that makes it, with what a list of data sets has to say about it:

    @register("stripes", "made, 32 x 32", options=("seed",))
    def load_stripes(seed: int = 0) -> DataSet: ...

Those of this project are registered here, so that what one of them does not take is refused before it, and
all that it computes with, is imported. Other packages register theirs where they are made, in a module
named by an entry point of `boed_hardattn.data_sets`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from data import layouts
from data.errors import DataError, SettingsError, one_line
from data.plugins import Registry, deferred
from data.scatter_settings import scattering_of
from data.settings import fits

if TYPE_CHECKING:
    from data.dataset import DataSet  # torch, for which names do not wait

Opener = TypeVar("Opener", bound=Callable[..., "DataSet"])


@dataclass(frozen=True)
class Entry:
    """One data set of the registry.

    Args:
        open: makes the data set; takes the data root first if there is a layout, then the options.
        summary: one line for a list of data sets.
        layout: of the data root, or "" for a data set that needs none.
        options: names of the keyword options that apply.
        check: raises SettingsError for options that do not go together, before `open`, and all that it
            computes with, is imported.
    """

    open: Callable[..., DataSet]
    summary: str
    layout: str = ""
    options: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], object] | None = None


OPENED_WITH = {
    **dict.fromkeys(("name", "data_root", "attribute", "region"), str),
    **dict.fromkeys(("canvas", "placements", "size", "seed", "canvas_seed"), int),
    **{"scatter": bool, "face_widths": tuple[int, ...], "classes": tuple[str, ...]},
}
"""Types of the arguments of `load`, as files keep them."""

DATASETS: Registry[Entry] = Registry("data set")


def register(
    name: str,
    summary: str,
    *,
    layout: str = "",
    options: tuple[str, ...] = (),
    check: Callable[[Mapping[str, Any]], object] | None = None,
) -> Callable[[Opener], Opener]:
    """Decorator that makes a function a data set of the registry; see `Entry`."""

    def add(opener: Opener) -> Opener:
        DATASETS.register(name)(Entry(opener, summary, layout, options, check))
        return opener

    return add


_MNIST, _SEEDS = deferred("data.mnist:load_mnist"), ("seed", "canvas_seed")
_ON_CANVAS = ("canvas", "seed", "region", "placements", "canvas_seed")
register("digits", "1,797 small digits among clutter, 40 x 40, built in", options=_SEEDS)(
    deferred("data.digits:load_digits")
)
register("mnist", "MNIST, 28 x 28", layout=layouts.MNIST)(partial(_MNIST, variant="mnist"))
register("translated-mnist", "MNIST anywhere on a canvas", layout=layouts.MNIST, options=_ON_CANVAS)(
    partial(_MNIST, variant="translated-mnist")
)
register("cluttered-mnist", "the same among clutter", layout=layouts.MNIST, options=_ON_CANVAS)(
    partial(_MNIST, variant="cluttered-mnist")
)
register(
    "celebahq",
    "an attribute of faces, 224 x 224, or scattered over a canvas",
    layout=layouts.CELEBAHQ,
    options=("attribute", "scatter", "canvas", "face_widths", "placements", *_SEEDS),
    check=scattering_of,
)(deferred("data.celebahq:load_celebahq"))
register("cub", "birds with boxes and named parts, 128 x 128", layout=layouts.CUB, options=("size",))(
    deferred("data.cub:load_cub")
)
register(
    "folder", "photographs in class folders, 128 x 128", layout=layouts.FOLDER, options=("size", "classes")
)(deferred("data.folder:load_folder"))
register("finite", "5,760 known images, 32 x 32, built in", options=("seed",))(
    deferred("data.finite:load_finite")
)


def load(name: str, data_root: str | Path | None = None, **options: Any) -> DataSet:
    """The data set of that name; images are read or made when a split is first asked for.

    Args:
        name: a key of `DATASETS`.
        data_root: folder of the images, in the layout that the entry names.
        options: those that the entry names; what is None takes its default. Of the data sets here:
            attribute: what to predict (celebahq; default Male).
            scatter: whether faces are scattered (celebahq; default no); canvas, face_widths, placements,
            seed and canvas_seed are of scattered faces.
            canvas: side in pixels (translated-mnist, cluttered-mnist; default 60; scattered faces: 128).
            face_widths: narrowest and widest face in pixels (scattered faces; default 56 and 100).
            seed: of places, clutter and backgrounds (digits, translated-mnist, cluttered-mnist, scattered
            faces), of splits (finite); default 0.
            canvas_seed: other than 0: of other places, clutter and backgrounds in the splits that are judged,
            design and test (digits, translated-mnist, cluttered-mnist, scattered faces), see `data.placing`.
            region: where on the canvas digits lie (translated-mnist, cluttered-mnist): all (default),
            inner or outer, see `data.canvas.confined`.
            placements: of each training digit or face on a canvas (translated-mnist, cluttered-mnist,
            scattered faces; default 1).
            size: side of the images in pixels (cub, folder; default 128).
            classes: names of the folders to take (folder; default all).

    Raises:
        SettingsError: unknown name, an option that this data set does not take, or options that do not go
            together.
        DataError: the data root is needed and not given, or is not in its layout.

    >>> load("digits").geometry.height
    40
    """
    entry = DATASETS.require(name)
    given = {option: value for option, value in options.items() if value is not None}
    _require_applicable(name, entry, given)
    if entry.check:
        entry.check(given)
    dataset = entry.open(*_root_of(name, entry, data_root), **given)
    kept = data_root and str(Path(data_root).resolve())
    dataset.origin = {"name": name, "data_root": kept or None, **given}
    return dataset


def reopen(origin: Mapping[str, Any], data_root: Path | None, asked_by: str) -> DataSet:
    """The data set that was opened so, perhaps in another folder now.

    Args:
        origin: of the data set, see `data.dataset.DataSet`.
        data_root: where it is now; None: where it was.
        asked_by: the file that says so, for the message.

    Raises:
        DataError: it was not opened by name but made from arrays, is not in that folder, or the file says
            something else.
    """
    if "name" not in origin:
        raise DataError(
            f"expected {asked_by} to say what its images were opened with, found that it does not, as of "
            "arrays; give the images, or the data set, from Python"
        )
    for name, kind in OPENED_WITH.items():
        value = origin.get(name)
        if value is not None and not fits(kind, value):
            raise DataError(
                f"expected {asked_by} to say what its images were opened with, found {name} "
                f"{one_line(value)}; give the images, or the data set, from Python"
            )
    moved = {"data_root": data_root} if data_root else {}
    return load(**{**origin, **moved})


def _root_of(name: str, entry: Entry, data_root: str | Path | None) -> tuple[Path, ...]:
    """The data root, where the data set has one."""
    if not entry.layout:
        if data_root is not None:
            raise SettingsError(f"expected no data root for {name}, found {data_root}; leave it out")
        return ()
    if data_root is None:
        raise DataError(
            f"expected a folder with {entry.layout} for {name}, found none given; set --data-root"
        )
    return (Path(data_root),)


def _require_applicable(name: str, entry: Entry, options: Mapping[str, Any]) -> None:
    for option, value in options.items():
        if option not in entry.options:
            takers = [other for other, its in DATASETS.items() if option in its.options]
            elsewhere = f", and {option} is one of {', '.join(takers)}" if takers else ""
            raise SettingsError(
                f"expected no {option} for {name}, found {value!r}; its options are "
                f"{', '.join(entry.options) or 'none'}{elsewhere}"
            )
