"""Stopping rules at equal mean cost: `python -m benchmarks.stopping --data-root DIR`.

It fits all attributes together, designs for each, and trains for each of them and each seed a network that
is stopped by rules, and others that are trained to halt; what is done is kept. Or finished runs are compared:
`--of RUN_DIR`, once for each. How costs are made equal says `benchmarks.stopping.costs`, how few glimpses are
enough `benchmarks.stopping.enough`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from benchmarks.jobs import JobError, run_all
from benchmarks.results.tables.stopping import tables
from benchmarks.sources import ATTRIBUTES
from benchmarks.stopping.networks import halting_runs, jobs_of
from benchmarks.stopping.outcomes import Network
from benchmarks.stopping.rows import rows_of
from data import GlimpseError
from data.files import write_json

PONDER_COSTS = (0.01,)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of CelebA-HQ.")
@click.option("--attribute", "attributes", multiple=True, help="May be repeated. [default: eight of them]")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="How many, from 0.")
@click.option(
    "--of",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A finished run instead, that halts or not.",
)
@click.option("--epochs", type=float, help="Of training. [default: as of hardattn train]")
@click.option(
    "--ponder-cost",
    "ponder_costs",
    multiple=True,
    type=click.FloatRange(min=0),
    default=PONDER_COSTS,
    show_default=True,
    help="Of a network that is trained to halt; may be repeated.",
)
@click.option(
    "--halting-iterations",
    type=click.IntRange(min=0),
    help="Of its training; 0: none is trained. [default: as many as of the network beside it]",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--jobs", "at_once", default=2, show_default=True, help="Trainings side by side.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option(
    "--run",
    "out",
    type=click.Path(path_type=Path),
    default=Path("runs/stopping"),
    show_default=True,
    help="Folder.",
)
def main(
    data_root: Path | None,
    attributes: tuple[str, ...],
    seeds: int,
    runs: tuple[Path, ...],
    epochs: float | None,
    ponder_costs: tuple[float, ...],
    halting_iterations: int | None,
    device: str,
    at_once: int,
    as_json: bool,
    out: Path,
) -> None:
    """Compares stopping rules at equal mean cost, over attributes and seeds, with networks trained to halt.

    \b
    Examples:
      python -m benchmarks.stopping --data-root DIR --json
      python -m benchmarks.stopping --of runs/celebahq-Male/hardattn-ps-nogs-0
    """
    training = ["--device", device, *([] if epochs is None else ["--epochs", str(epochs)])]
    try:
        beside = list(runs) or _trained(data_root, attributes or ATTRIBUTES, seeds, training, out, at_once)
        halting = halting_runs(
            beside, ponder_costs, halting_iterations, out / "halting", device, at_once, _say
        )
        folders = dict.fromkeys(run.resolve() for run in [*beside, *halting])
        rows = rows_of([Network.of(run, device=device) for run in folders])
    except (JobError, GlimpseError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    write_json(out / "stopping.json", {"rows": rows})
    click.echo(json.dumps({"rows": rows}) if as_json else tables(rows))


def _trained(
    data_root: Path | None,
    attributes: tuple[str, ...],
    seeds: int,
    training: list[str],
    out: Path,
    at_once: int,
) -> list[Path]:
    """The runs of networks that imitate designs, made where they are not there."""
    jobs, runs = jobs_of(attributes, out, data_root, seeds, training)
    run_all(jobs, out / "notes", at_once=at_once, say=_say)
    return runs


def _say(line: str) -> None:
    click.echo(line, err=True)
