"""The command `boed finding`: parse, one call into the library, print."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from data.cli.commands import Command
from data.cli.options import PATH, Option, json_option, panel

_DATA = panel(
    "Data",
    Option(
        ["--part"],
        metavar="NAME",
        default="object",
        show_default=True,
        help="A part that the data set names (cub, celebahq with --scatter); object: the middle of its box.",
    ),
    Option(["--data-root"], type=PATH, help="Folder of the images. [default: where STORE was made from]"),
)


@click.command(cls=Command, params=[*_DATA, *panel("Output", json_option())])
@click.argument("paths", metavar="STORE...", type=PATH, nargs=-1, required=True)
def finding(paths: tuple[Path, ...], part: str, data_root: Path | None, as_json: bool) -> None:
    """Says how often the glimpses of every STORE hold a part of the object.

    For each glimpse the share of squares that hold it, and of images in which any glimpse by now has, with
    standard errors over images, beside what is expected of squares as wide at random places of the grid, and
    of central ones. A glance at the whole image finds nothing. Where a trained network looks is a STORE of
    `hardattn record`.

    \b
    Examples:
      boed finding runs/digits/sequences.h5 runs/digits/sequences-random.h5
      boed finding runs/celebahq-scatter-Male/sequences.h5 --part mouth --json
    """
    from boed.comparison.findings import finding as finding_of
    from data.finding import finding_table

    found = finding_of(paths, part, data_root=data_root, say=partial(click.echo, err=True))
    if as_json:
        sources = {name: [row.to_json() for row in rows] for name, rows in found.items()}
        click.echo(json.dumps({"part": part, "sources": sources}))
    else:
        click.echo(finding_table(list(found.items()), part))
