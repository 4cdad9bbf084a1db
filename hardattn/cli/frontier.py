"""The command `hardattn frontier`: parse, one call into the library, print."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from data.cli.commands import Command, command_line
from data.cli.options import (
    PATH,
    Option,
    data_options,
    device_option,
    json_option,
    open_task,
    panel,
    workers_option,
)
from hardattn.experiments.choices import MINUTES

_NETWORKS = panel(
    "Networks",
    Option(
        ["--minutes"],
        type=float,
        default=MINUTES,
        show_default=True,
        help="Of training, all networks together.",
    ),
    Option(
        ["--grid"],
        type=PATH,
        help="The networks, a file as in hardattn/experiments/frontier/grids. [default: the data set's]",
    ),
    Option(
        ["--sequences"],
        type=PATH,
        help="Sequences to imitate. [default: those of the run, made by `boed` where they are missing]",
    ),
    Option(["--seed"], default=0, show_default=True, help="Of weights, batches and draws."),
    workers_option(),
    device_option(),
)
_DATA = data_options("All is written into its frontier/.")


@click.command(cls=Command, resumable=True, params=[*_NETWORKS, *_DATA, *panel("Output", json_option())])
def frontier(grid: Path | None, sequences: Path | None, as_json: bool, **options: Any) -> None:
    """Accuracy against compute: hard attention beside networks on the whole image that are made to be cheap.

    Every network of the grid is trained for an equal share of the time, into RUN/frontier; interrupted, the
    same command goes on, and another time needs another --run. Validation images choose the points of each
    family's frontier; the figures of the test images are in frontier.json and frontier.csv, and frontier.png
    shows them.

    \b
    Examples:
      hardattn frontier --minutes 20
      hardattn frontier --dataset celebahq --attribute Male --data-root DIR --minutes 60 --json
    """
    from hardattn.experiments.frontier.grid import read_grid
    from hardattn.experiments.frontier.summary import as_text, draw
    from hardattn.experiments.frontier.sweep import PICTURE, frontier
    from supervision.store import SequenceStore

    networks, task = read_grid(options["name"], grid), open_task(options)
    result = frontier(
        task.dataset,
        networks,
        task.run,
        sequences=None if sequences is None else SequenceStore.read(sequences),
        command=command_line(),
        say=partial(click.echo, err=True),
        **{name: options[name] for name in ("minutes", "seed", "device", "workers")},
    )
    picture = task.run / "frontier" / PICTURE
    draw(result, picture)
    click.echo(json.dumps(result.to_json()) if as_json else f"{as_text(result)}\nwrote {picture}")
