"""The command `hardattn reproduce`, which makes a published table: parse, one call, print."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from data.cli.commands import Command, command_line
from data.cli.options import PATH, Name, Option, device_option, json_option, panel, workers_option
from data.registry import DATASETS
from hardattn.experiments.choices import MINUTES, SEEDS
from hardattn.experiments.reproduce.settings import table_names

_DATA = panel(
    "Data",
    Option(
        ["--dataset"],
        type=Name(DATASETS),
        metavar="NAME",
        help="Another data set than the table's own, of a table that has rows for it (recurrent-glimpsenet: "
        "folder).",
    ),
    Option(["--data-root"], type=PATH, help="Folder of the images, in the official layout."),
    Option(
        ["--run", "run_dir"],
        type=PATH,
        help="Folder of everything. [default: runs/reproduce/NAME, or NAME-DATASET]",
    ),
    Option(
        ["--designs"],
        type=PATH,
        help="Folder of runs of `boed fit`, as runs is, for designs. [default: fit in the folder of "
        "everything]",
    ),
)
_ROWS = panel(
    "Rows",
    Option(
        ["--row", "only"],
        default="",
        help="Only the row of this name, or all whose name contains it.",
    ),
    Option(
        ["--attribute", "attributes"],
        multiple=True,
        help="Only this one of the table's; may be repeated.",
    ),
    Option(["--seed"], default=0, show_default=True, help="Of weights, batches and draws."),
    Option(
        ["--seeds"],
        type=int,
        help=f"How many, counted from --seed. [default: the table's, or {SEEDS}]",
    ),
    Option(
        ["--minutes"],
        type=float,
        help=f"Of training, all rows together. [default: the table's, or {MINUTES:g}]",
    ),
    workers_option(),
    device_option(),
)


@click.command(cls=Command, resumable=True, params=[*_ROWS, *_DATA, *panel("Output", json_option())])
@click.argument("name", type=click.Choice(table_names()))
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
      hardattn reproduce case-study --data-root DIR --minutes 105 --row REINFORCE
      hardattn reproduce nogs-celebahq --data-root DIR --attribute Male --designs runs
      hardattn reproduce recurrent-glimpsenet --data-root DIR --seeds 1 --minutes 60
      hardattn reproduce recurrent-glimpsenet --dataset folder --data-root DIR --row pretrained
    """
    from hardattn.experiments.reproduce.outcome import as_text
    from hardattn.experiments.reproduce.trainings import reproduce

    stem = "-".join(part for part in (name, options["dataset"]) if part)
    folder, say = run_dir or Path("runs") / "reproduce" / stem, partial(click.echo, err=True)
    result = reproduce(name, data_root, folder, say=say, command=command_line(), **options)
    click.echo(json.dumps(result.to_json()) if as_json else as_text(result))
