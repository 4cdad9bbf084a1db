"""The commands `hardattn record` and `hardattn parts`, which make sequences: parse, one call, print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from torch import Tensor

from data.cli.options import PATH, one_line_errors, open_task, sensor_options
from data.dataset import DataSet
from data.errors import SettingsError
from data.geometry import Geometry
from data.sample import choose_images, image_count
from hardattn.cli.train_options import wanted_geometry
from hardattn.recording import RECORDED, SPLITS
from hardattn.recording import record as record_run
from supervision.annotations import COLUMNS, Annotations, named_parts, read_annotations
from supervision.parts import write_parts
from supervision.store import SequenceStore

PARTS = "sequences-parts"


def _images_options(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options that name images: their split, and how many."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        split = click.option(
            "--split",
            "part",
            type=click.Choice(SPLITS),
            default=SPLITS[0],
            show_default=True,
            help="Of the images to make sequences for.",
        )
        count = click.option("--images", default=default, show_default=True, help="How many of them, or all.")
        return split(count(command))

    return add


@click.command()
@click.argument("run_folder", metavar="RUN_DIR", type=PATH)
@_images_options("600")
@click.option(
    "--out", type=PATH, help=f"The store. [default: {RECORDED}.h5, or {RECORDED}-train.h5, beside RUN_DIR]"
)
@click.option("--data-root", type=PATH, help="Look at the images found here. [default: as in training]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@one_line_errors
def record(run_folder: Path, **options: Any) -> None:
    """Writes where the network of RUN_DIR looks, for another one to imitate; can be interrupted.

    \b
    Examples:
      hardattn record runs/digits/hardattn-ram-0
      hardattn train --method ps-ram --supervise
      hardattn record runs/digits/hardattn-ram-0 --split train --images all
    """
    store = record_run(run_folder, **options)
    _say_what_next(store, "ps-ram", own=options["out"] is None and options["part"] == SPLITS[0])


@click.command()
@sensor_options
@_images_options("all")
@click.option(
    "--parts",
    "file",
    metavar="ANNOTATIONS",
    type=PATH,
    help=f"Named parts, in lines '{COLUMNS}'. [default: the data set's own, or fixed places of its boxes]",
)
@click.option("--order", metavar="A,B,..", help="Of the named parts to look at. [default: the data set's]")
@click.option("--out", type=PATH, help=f"The store. [default: RUN/{PARTS}.h5, or RUN/{PARTS}-train.h5]")
@one_line_errors
def parts(
    name: str,
    attribute: str | None,
    canvas: int | None,
    data_root: Path | None,
    run_dir: Path | None,
    glimpses: int | None,
    glimpse_size: int | None,
    scales: int | None,
    part: str,
    images: str,
    file: Path | None,
    order: str | None,
    out: Path | None,
) -> None:
    """Writes glimpses at annotated parts of the objects, for a network to imitate.

    Named parts come from ANNOTATIONS or from the data set itself (cub). The glimpses go to those of --order,
    again from its first when it has ended; a part that is hidden or missing gives way to the next visible one
    of the order, and an image without any is left out. In ANNOTATIONS rows and columns are pixels of the
    task's images, and visible is 0 or 1. Other data sets that know boxes have parts without names: the middle
    of the image and fixed places of the object's box.

    \b
    Examples:
      hardattn parts
      hardattn train --method ps-parts --supervise
      hardattn parts --split train
      hardattn parts --dataset folder --data-root DIR --parts parts.txt --order beak,forehead,belly
      hardattn parts --dataset cub --data-root DIR --order "beak,left eye,belly"
    """
    dataset, folder, origin = open_task(name, attribute, canvas, data_root, run_dir)
    geometry = wanted_geometry(dataset, None, glimpse_size, scales) or dataset.geometry
    ids = choose_images(dataset[part], image_count(images, len(dataset[part])))
    annotations = _annotations(file, order, dataset, part, geometry)
    store = write_parts(
        out or folder / f"{PARTS}{'' if part == SPLITS[0] else f'-{part}'}.h5",
        dataset,
        part,
        glimpses=dataset.glimpses if glimpses is None else glimpses,
        geometry=geometry,
        ids=ids if annotations is None else _shown(annotations, ids),
        annotations=annotations,
        origin=origin,
    )
    _say_what_next(store, "ps-parts", own=out is None and part == SPLITS[0])


def _annotations(
    file: Path | None, order: str | None, dataset: DataSet, split: str, geometry: Geometry
) -> Annotations | None:
    """The parts that the options or the data set name, None without any."""
    names = None if order is None else [word.strip() for word in order.split(",")]
    if file is None and dataset.parts is not None:
        return named_parts(dataset, split, names)
    if file is None and names is None:
        return None
    if file is None or names is None:
        given = "--order" if file is None else "--parts"
        raise SettingsError(
            f"expected --parts ANNOTATIONS and --order A,B,.. together, found only {given}; add the other"
        )
    return read_annotations(file, names, geometry)


def _shown(annotations: Annotations, ids: Tensor) -> Tensor:
    """The images that show a part; says how many do not."""
    shown = annotations.of(ids)
    if not len(shown):
        raise SettingsError(
            f"expected a visible part of {', '.join(annotations.order)}, found none in {len(ids)} images; "
            "name others in --order, or check the numbers of the images in --parts"
        )
    if len(shown) < len(ids):
        hidden = len(ids) - len(shown)
        click.echo(f"left out {hidden} of {len(ids)} images, which have no visible part", err=True)
    return shown


def _say_what_next(store: SequenceStore, method: str, *, own: bool) -> None:
    """How many sequences there are, and what imitates them."""
    click.echo(f"{int(store.done.sum())} sequences of {store.steps} glimpses in {store.path}")
    file = "" if own else f" {store.path}"
    click.echo(f"next, with the same data options: hardattn train --method {method} --supervise{file}")
