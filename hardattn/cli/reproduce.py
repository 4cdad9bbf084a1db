"""The command `hardattn reproduce`, which makes a published table: parse, one call, print."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from data.cli.options import PATH, one_line_errors
from hardattn.experiments.reproduce.outcome import as_text
from hardattn.experiments.reproduce.settings import table_names
from hardattn.experiments.reproduce.trainings import MINUTES
from hardattn.experiments.reproduce.trainings import reproduce as reproduce_table


@click.command()
@click.argument("name", type=click.Choice(table_names()))
@click.option("--data-root", type=PATH, help="Folder of the images, in the official layout.")
@click.option(
    "--minutes", type=float, help=f"Of training, all rows together. [default: the table's, or {MINUTES:g}]"
)
@click.option("--row", "only", default="", help="Only the row of this name, or all whose name contains it.")
@click.option(
    "--attribute", "attributes", multiple=True, help="Only this one of the table's; may be repeated."
)
@click.option("--seed", default=0, show_default=True, help="Of weights, batches and draws.")
@click.option("--seeds", type=int, help="How many, counted from --seed. [default: the table's, or 1]")
@click.option("--run", "run_dir", type=PATH, help="Folder of everything. [default: runs/reproduce/NAME]")
@click.option(
    "--designs",
    type=PATH,
    help="Folder of runs of `boed fit`, as runs is, for designs. [default: fit in the folder of everything]",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@one_line_errors
def reproduce(name: str, data_root: Path | None, run_dir: Path | None, as_json: bool, **options: Any) -> None:
    """Trains the rows of a published table and prints them beside the published figures.

    The time is shared among all rows, attributes and seeds as the table's settings say, whichever of them are
    asked for; interrupted, the same command goes on. Test images are looked at once for each row, after its
    training. The learning curve of each is a file curve-*.csv in the folder, in which another time needs
    another --run.

    \b
    Examples:
      hardattn reproduce mnist-28 --data-root DIR --minutes 30
      hardattn reproduce translated-60 --data-root DIR --row parts --json
      hardattn reproduce rewards --data-root DIR --seeds 1
      hardattn reproduce nogs-celebahq --data-root DIR --attribute Male --designs runs
    """
    folder = run_dir or Path("runs") / "reproduce" / name
    found = reproduce_table(name, data_root, folder, say=partial(click.echo, err=True), **options)
    click.echo(json.dumps(found.to_json()) if as_json else as_text(found))
