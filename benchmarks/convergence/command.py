"""With and without supervision: `python -m benchmarks.convergence --data-root DIR`.

For each attribute and seed four networks: 600 designs imitated beside REINFORCE (PS-NOGS), one fixed order
imitated, REINFORCE alone by the recipe that its own search chose, and random places. Lengths are in epochs
and patience, never in time. What is done is kept: the same command goes on where it stopped, the first seed
of all attributes first. Rows, recipes and the search are in convergence.toml, beside this file.

`--search` runs the search instead: on validation images alone, every setting for as many images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.convergence.figures import figures
from benchmarks.convergence.runs import Work, in_order, read_settings, settings_of
from benchmarks.results.tables.convergence import by_methods, by_settings, mean_nll
from benchmarks.sources import ATTRIBUTES
from data import load
from data.cli.commands import one_line_errors
from data.errors import SettingsError


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of CelebA-HQ.")
@click.option(
    "--attributes", default=",".join(ATTRIBUTES), show_default=True, help="With commas between them."
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="How many, of the networks."
)
@click.option("--methods", help="Rows of convergence.toml, with commas between them. [default: all]")
@click.option("--finished", is_flag=True, help="Train nothing; of those that are done.")
@click.option("--search", is_flag=True, help="Run the search of REINFORCE instead.")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    default=Path("runs/convergence"),
    show_default=True,
    help="Folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@one_line_errors()
def main(
    data_root: Path | None,
    attributes: str,
    seeds: int,
    methods: str | None,
    finished: bool,
    search: bool,
    device: str,
    run: Path,
    as_json: bool,
) -> None:
    """Errors and convergence of partial supervision, a fixed order, REINFORCE and random places.

    \b
    Examples:
      python -m benchmarks.convergence --data-root DIR
      python -m benchmarks.convergence --data-root DIR --attributes Male,Young --seeds 1 --json
      python -m benchmarks.convergence --data-root DIR --search
    """
    settings = read_settings()
    wanted = wanted_rows(settings["rows"], methods)
    dataset = load(settings["dataset"], data_root=data_root, attribute=attributes)
    work = Work(dataset, run, settings, device, partial(click.echo, err=True))
    names = attributes.split(",")
    trainings = in_order(names, seeds, wanted)
    if finished:
        trainings = [training for training in trainings if work.is_done(*training)]
    rows = _searched(work) if search else figures(work, trainings)
    click.echo(json.dumps({"rows": rows}) if as_json else (by_settings if search else by_methods)(rows))


def wanted_rows(rows: Sequence[Mapping[str, Any]], methods: str | None) -> list[Mapping[str, Any]]:
    """The rows that are named, with commas between their names; all of them without.

    Raises:
        SettingsError: a name of no row.

    >>> wanted_rows([{"name": "PS-NOGS"}, {"name": "REINFORCE"}], "REINFORCE")
    [{'name': 'REINFORCE'}]
    """
    known, named = [row["name"] for row in rows], None if methods is None else methods.split(",")
    for name in named or ():
        if name not in known:
            raise SettingsError(f"expected --methods of {', '.join(known)}; found {name!r}")
    return [row for row in rows if named is None or row["name"] in named]


def _searched(work: Work) -> list[Any]:
    """The rows of the search by its rule, in the order of the mean of the best NLLs: the first one is chosen.

    Every setting is tried on the first attribute, and so many of the best go on to the next.
    """
    search = work.settings["search"]
    recipes = settings_of(search)
    found: dict[str, list[Any]] = {name: [] for name in recipes}
    remaining = list(recipes)
    for attribute in search["attributes"]:
        for name in remaining:
            found[name].append(work.tried(name, recipes[name], attribute))
        remaining.sort(key=lambda name: mean_nll(found[name]))
        remaining = remaining[: search["keep"]]
    order = sorted(found.values(), key=lambda rows: (-len(rows), mean_nll(rows)))
    return [row for rows in order for row in rows]
