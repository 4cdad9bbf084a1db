"""The command `hardattn saliency`: parse, one call into the library, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from data.cli.commands import Command
from data.cli.options import PATH, Option, data_options, open_task, sensor_of, sensor_options
from hardattn.cli.images_options import images_options, say_what_next
from hardattn.cli.recipe import wanted_geometry
from supervision.choices import SALIENT, SPLITS

_SEQUENCES = images_options(
    "all",
    Option(
        ["--saliency", "folder"],
        metavar="DIR",
        type=PATH,
        help="Masks or saliency maps, bright where one should look, with the names of the photographs "
        "(folder: train/CLASS/NAME.png; cub: CLASS/NAME.png). [default: the pixels of the objects, where the "
        "data set knows them]",
    ),
    Option(["--out"], type=PATH, help=f"The store. [default: RUN/{SALIENT}.h5, or RUN/{SALIENT}-train.h5]"),
)


@click.command(cls=Command, resumable=True, params=[*_SEQUENCES, *data_options(), *sensor_options()])
def saliency(part: str, images: str, folder: Path | None, out: Path | None, **options: Any) -> None:
    """Writes the most salient regions of images, and saliency maps, for a network to be regressed on.

    The first glimpse of a sequence is the whole image at a glance. Each of the next ones is the one that
    holds the most of the saliency that none has shown yet. Digits among clutter know their own pixels.

    \b
    Examples:
      hardattn saliency --split train
      hardattn train --method glimpsenet --supervise
      hardattn saliency --dataset folder --data-root DIR --split train --saliency MASKS
    """
    sensor, task = sensor_of(options), open_task(options)
    from data.saliency import saliency_of
    from data.sample import choose_images, image_count
    from supervision.saliency import write_salient

    dataset, glimpses = task.dataset, options["glimpses"]
    store = write_salient(
        out or task.run / f"{SALIENT}{'' if part == SPLITS[0] else f'-{part}'}.h5",
        dataset,
        part,
        saliency_of(dataset, part, folder),
        glimpses=dataset.glimpses if glimpses is None else glimpses,
        geometry=wanted_geometry(dataset, None, sensor),
        ids=choose_images(dataset[part], image_count(images, len(dataset[part]))),
        origin=task.origin,
    )
    say_what_next(store, "glimpsenet", own=out is None and part == SPLITS[1])
