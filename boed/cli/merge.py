"""The command `boed merge`: parse, one call into the library, print."""

from __future__ import annotations

from pathlib import Path

import click

from data.cli.commands import Command
from data.cli.options import PATH


@click.command(cls=Command, resumable=True)
@click.argument("paths", metavar="STORE...", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="The store of all their sequences.")
def merge(paths: tuple[Path, ...], out: Path) -> None:
    """Joins the stores of all shards of some images into the one that a single process would have written.

    STORE is a store of `boed generate --shard`, or a folder of such stores. A missing, repeated, unfinished
    or damaged shard is refused, and so are shards with different settings or approximations; nothing is
    written then.

    \b
    Examples:
      boed merge runs/digits/sequences-shards --out runs/digits/sequences.h5
      boed merge 1-of-2.h5 2-of-2.h5 --out both.h5
    """
    from supervision.merging import merge as merged

    store = merged(paths, out)
    click.echo(f"{int(store.done.sum())} sequences of {store.steps} glimpses in {out}")
    click.echo(f"next, with the data options of the design: hardattn train --supervise {out}")
