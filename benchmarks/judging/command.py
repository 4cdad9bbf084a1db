"""One judge for all sources of sequences: `python -m benchmarks.judging NAME --data-root DIR`.

Of every seed of a task: fits with one width and with several, sequences of every source for the same images
of the design split, one judge of all of them (`boed.comparison.judge`), and of the designs what they predict
beside what comes true. On `finite`, where the truth can be computed, all combinations of approximations
instead. What is done is kept: the same command goes on where it stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.judging.plan import TASKS, Task
from benchmarks.results.tables.judging import judging_table
from boed.cli.benchmark import selected
from data.errors import GlimpseError
from data.registry import load

FINITE = "finite"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("name", type=click.Choice([FINITE, *TASKS]))
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the images.")
@click.option(
    "--attribute", "attributes", multiple=True, help="Of celebahq, may be repeated. [default: eight]"
)
@click.option(
    "--published", type=click.Path(path_type=Path), help="Archive of published sequences (celebahq)."
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How many, of fits, sequences and judges.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="For a seed of finite. [default: no limit]",
)
@click.option("--iterations", type=click.IntRange(min=1), help="Of each training of finite. [default: 10000]")
@click.option("--posterior", "posteriors", multiple=True, help="Of finite; may be repeated. [default: all]")
@click.option("--completion", "completions", multiple=True, help="Of finite; may be repeated. [default: all]")
@click.option("--run", type=click.Path(path_type=Path), help="Folder. [default: runs/judging]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def main(name: str, run: Path | None, seeds: int, as_json: bool, **options: Any) -> None:
    """Judges all sources of sequences for the images of NAME, in sizes of minutes.

    \b
    Examples:
      python -m benchmarks.judging finite --minutes 10
      python -m benchmarks.judging cluttered-mnist --data-root DIR --seeds 3
      python -m benchmarks.judging celebahq --data-root DIR --published celebahq.tar.gz --attribute Male
    """
    folder = (run or Path("runs") / "judging") / name
    try:
        rows = finite(folder, seeds, options) if name == FINITE else judged_rows(name, folder, seeds, options)
    except GlimpseError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    click.echo(json.dumps({"rows": rows}) if as_json else judging_table({"rows": rows}))


def finite(folder: Path, seeds: int, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of combinations on `finite`."""
    from benchmarks.judging.finite import finite_figures, finite_rows

    chosen = selected(options["posteriors"], options["completions"], ())
    settings = {} if options["iterations"] is None else {"iterations": options["iterations"]}
    return finite_rows(finite_figures(folder, range(seeds), chosen, options["minutes"], **settings))


def judged_rows(name: str, folder: Path, seeds: int, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of all sources, of each target of a task and, of several with the same images, of their mean."""
    from benchmarks.judging.one_seed import figures_of_seed
    from benchmarks.judging.rows import MEAN, mean_over, rows_of

    task = TASKS[name]
    targets = {
        target: [
            figures_of_seed(task, dataset, folder / target / f"seed-{seed}", seed, options["published"])
            for seed in range(seeds)
        ]
        for target, dataset in datasets_of(task, options).items()
    }
    rows = [row for target, figures in targets.items() for row in rows_of(name, target, figures)]
    return rows + (rows_of(name, MEAN, mean_over(targets)) if len(targets) > 1 else [])


def datasets_of(task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
    """Target -> its data set; of a data set with one target alone that."""
    chosen: tuple[str | None, ...] = options["attributes"] or task.attributes or (None,)
    found = [load(task.dataset, options["data_root"], attribute=name, **task.opened) for name in chosen]
    return {dataset.target: dataset for dataset in found}
