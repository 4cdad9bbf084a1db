"""The command `hardattn frontier`: parse, one call into the library, print."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from data.cli.options import PATH, one_line_errors, open_task
from data.registry import DATASETS
from hardattn.experiments.frontier.grid import read_grid
from hardattn.experiments.frontier.summary import as_text, draw
from hardattn.experiments.frontier.sweep import MINUTES, PICTURE
from hardattn.experiments.frontier.sweep import frontier as find_frontier
from supervision.store import SequenceStore


@click.command()
@click.option("--dataset", "name", default="digits", show_default=True, help=f"One of {', '.join(DATASETS)}.")
@click.option("--attribute", help="What to predict (celebahq). [default: Male]")
@click.option("--canvas", type=int, help="Canvas side in pixels (translated-mnist, cluttered-mnist).")
@click.option("--data-root", type=PATH, help="Folder of the images, in the official layout.")
@click.option(
    "--run", "run_dir", type=PATH, help="All is written into its frontier/. [default: runs/DATASET[-TARGET]]"
)
@click.option(
    "--minutes", type=float, default=MINUTES, show_default=True, help="Of training, all networks together."
)
@click.option(
    "--grid",
    type=PATH,
    help="The networks, a file as in hardattn/experiments/frontier/grids. [default: the data set's]",
)
@click.option(
    "--sequences",
    type=PATH,
    help="Sequences to imitate. [default: those of the run, made by `boed` where they are missing]",
)
@click.option("--seed", default=0, show_default=True, help="Of weights, batches and draws.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@one_line_errors
def frontier(
    name: str,
    attribute: str | None,
    canvas: int | None,
    data_root: Path | None,
    run_dir: Path | None,
    minutes: float,
    grid: Path | None,
    sequences: Path | None,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
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
    networks = read_grid(name, grid)
    dataset, run, opened = open_task(name, attribute, canvas, data_root, run_dir)
    store = None if sequences is None else SequenceStore.read(sequences)
    found = find_frontier(
        dataset,
        networks,
        run,
        minutes=minutes,
        sequences=store,
        opened_with=opened,
        seed=seed,
        device=device,
        say=partial(click.echo, err=True),
    )
    picture = run / "frontier" / PICTURE
    draw(found, picture)
    click.echo(json.dumps(found.to_json()) if as_json else f"{as_text(found)}\nwrote {picture}")
