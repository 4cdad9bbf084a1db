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
        help="A part that the data set names (cub, celebahq with --scatter). [default: the middle of the "
        "object's box]",
    ),
    Option(["--data-root"], type=PATH, help="Folder of the images. [default: where STORE was made from]"),
)


@click.command(cls=Command, params=[*_DATA, *panel("Output", json_option())])
@click.argument("paths", metavar="STORE...", type=PATH, nargs=-1, required=True)
def finding(paths: tuple[Path, ...], part: str | None, data_root: Path | None, as_json: bool) -> None:
    """Says how often the glimpses of every STORE hold a part of the object.

    After each glimpse the share of squares that hold it, with its standard error over images, beside what is
    expected of squares as wide at random places of the grid, and of central ones. Where a trained network
    looks is a STORE of `hardattn record`.

    \b
    Examples:
      boed finding runs/digits/sequences.h5 runs/digits/sequences-random.h5
      boed finding runs/celebahq-scatter-Male/sequences.h5 --part mouth --json
    """
    from boed.comparison.findings import store_findings
    from data.finding import finding_table
    from supervision.finding import BOX

    found = store_findings(paths, part, data_root=data_root, say=partial(click.echo, err=True))
    if as_json:
        sources = {name: [row.to_json() for row in rows] for name, rows in found.items()}
        click.echo(json.dumps({"part": part or BOX, "sources": sources}))
    else:
        click.echo(finding_table(list(found.items()), part or BOX))
