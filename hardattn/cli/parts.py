"""The command `hardattn parts`: parse, one call into the library, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.cli.commands import Command
from data.cli.options import (
    PATH,
    AtLeast,
    Option,
    data_options,
    glance_option,
    open_task,
    sensor_of,
    sensor_options,
    sides_option,
)
from data.errors import SettingsError
from hardattn.cli.images_options import images_options, say_what_next
from hardattn.cli.recipe import wanted_geometry
from supervision.choices import COLUMNS, PARTS, SPLITS

if TYPE_CHECKING:
    from torch import Tensor

    from data.dataset import DataSet
    from data.geometry import Geometry
    from supervision.annotations import Annotations

_SEQUENCES = images_options(
    "all",
    Option(
        ["--parts", "file"],
        metavar="ANNOTATIONS",
        type=PATH,
        help=f"Named parts, in lines '{COLUMNS}'. "
        "[default: the data set's own, or fixed places of its boxes]",
    ),
    Option(["--order"], metavar="A,B,..", help="Of the named parts to look at. [default: the data set's]"),
    Option(["--out"], type=PATH, help=f"The store. [default: RUN/{PARTS}.h5, or RUN/{PARTS}-train.h5]"),
)


_SIDE = Option(
    ["--side"],
    type=AtLeast(1),
    help="Of the squares at the parts, in pixels; one of --sides. [default: the glimpse's]",
)


@click.command(
    cls=Command,
    params=[*_SEQUENCES, *data_options(), *sensor_options(glance_option(), sides_option(), _SIDE)],
)
def parts(
    part: str,
    images: str,
    file: Path | None,
    order: str | None,
    out: Path | None,
    side: int | None,
    **options: Any,
) -> None:
    """Writes glimpses at annotated parts of the objects, for a network to imitate.

    Named parts come from ANNOTATIONS or from the data set itself (cub, celebahq with --scatter). The glimpses
    go to those of --order, again from its first when it has ended; a part that is hidden or missing gives way
    to the next visible one of the order, and an image without any is left out. With --first-glance they come
    after the glance. In ANNOTATIONS rows and
    columns are pixels of the task's images, and visible is 0 or 1. Other data sets that know boxes have parts
    without names: the middle of the image and fixed places of the object's box.

    \b
    Examples:
      hardattn parts
      hardattn train --method ps-parts --supervise
      hardattn parts --split train
      hardattn parts --dataset folder --data-root DIR --parts parts.txt --order beak,forehead,belly
      hardattn parts --dataset cub --data-root DIR --order "beak,left eye,belly"
      hardattn parts --dataset cub --data-root DIR --first-glance --sides 16,32 --side 32
    """
    sensor, task = sensor_of(options), open_task(options)
    from data.sample import choose_images, image_count
    from supervision.parts import write_parts

    dataset, glimpses = task.dataset, options["glimpses"]
    geometry = wanted_geometry(dataset, None, sensor) or dataset.geometry
    ids = choose_images(dataset[part], image_count(images, len(dataset[part])))
    annotations = _annotations(file, order, dataset, part, geometry)
    store = write_parts(
        out or task.run / f"{PARTS}{'' if part == SPLITS[0] else f'-{part}'}.h5",
        dataset,
        part,
        glimpses=dataset.glimpses if glimpses is None else glimpses,
        geometry=geometry,
        ids=ids if annotations is None else _shown(annotations, ids),
        annotations=annotations,
        side=side,
        origin=task.origin,
    )
    say_what_next(store, "ps-parts", own=out is None and part == SPLITS[0])


def _annotations(
    file: Path | None, order: str | None, dataset: DataSet, split: str, geometry: Geometry
) -> Annotations | None:
    """The parts that the options or the data set name, None without any."""
    from supervision.annotations import named_parts, read_annotations

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
