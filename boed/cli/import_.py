"""The command `boed import`: parse, one call into the library, print."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from data.cli.commands import Command
from data.cli.options import PATH, open_task
from data.errors import SettingsError
from supervision.choices import SEQUENCES, SPLITS


@click.command("import", cls=Command)
@click.argument("path", metavar="ARCHIVE", type=PATH)
@click.option(
    "--dataset",
    "name",
    type=click.Choice(["celebahq", "birds"]),
    default="celebahq",
    show_default=True,
    help="What the sequences were made for.",
)
@click.option("--attribute", help="Of CelebA-HQ, by name.")
@click.option("--data-root", type=PATH, help="Folder of the images; needed to train or to compare later.")
@click.option(
    "--split",
    "part",
    type=click.Choice(SPLITS),
    help="Whose images the sequences are kept of (--data-root). [default: design; of birds train]",
)
@click.option(
    "--out", type=PATH, help="The store. [default: runs/DATASET[-ATTRIBUTE]/sequences-published.h5]"
)
def import_(
    path: Path,
    name: str,
    attribute: str | None,
    data_root: Path | None,
    part: str | None,
    out: Path | None,
) -> None:
    """Brings published glimpse sequences, in their authors' text files, into a store.

    ARCHIVE is a .tar.gz, a .tar or a folder, with celebhq/NUMBER/IMAGE.txt or birds/N.txt in it. Birds are
    those of the data set cub at 128 pixels, by their number in images.txt; whether the published ones were
    whole photographs or cropped is not known: `boed finding` says what they find in yours.

    \b
    Examples:
      boed import celebahq.tar.gz --attribute Male --data-root DIR
      boed import birds.tar.gz --dataset birds --data-root CUB
      boed import birds.tar.gz --dataset birds --out birds.h5
    """
    if (name == "celebahq") != (attribute is not None):
        raise SettingsError(
            f"expected --attribute with celebahq and none with birds, found {attribute} with {name}"
        )
    if part is not None and data_root is None:
        raise SettingsError(f"expected --data-root with --split, found --split {part} alone; add it")
    from supervision.published import DATA_SETS, import_published

    options = {"name": name, "attribute": attribute, "data_root": data_root}
    task = None if data_root is None else open_task({**options, "name": DATA_SETS[name]})
    run = task.run if task else Path("runs") / "-".join([name, *([attribute] if attribute else [])])
    out = out or run / f"{SEQUENCES}-published.h5"
    dataset, origin = (task.dataset, task.origin) if task else (None, options)
    store = import_published(
        path,
        out,
        attribute=attribute,
        dataset=dataset,
        split=part or SPLITS[name == "birds"],
        origin=origin,
        say=partial(click.echo, err=True),
    )
    click.echo(f"{int(store.done.sum())} sequences of {store.steps} glimpses in {out}")
    if task is None:
        click.echo("without images: give --data-root and another --out for a store to train on or compare")
