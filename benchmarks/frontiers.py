"""Frontiers of several tasks, averaged: whether hard attention is ahead of its rivals on the mean.

python -m benchmarks.frontiers runs/celebahq-*/frontier/frontier.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

import click

from data.cli.commands import one_line_errors
from data.cli.options import PATH
from hardattn.experiments.frontier.pareto import frontiers
from hardattn.experiments.frontier.summary import BUDGETS, as_table, at_budgets, behind, pixel_share, verdict
from hardattn.experiments.frontier.sweep import Frontier

Row = Sequence[float | None]


def averaged(tables: Sequence[Mapping[str, Row]]) -> dict[str, Row]:
    """Family -> mean accuracy over the tasks at each budget, None where a task has no point.

    Families that are not in all tasks are left out.

    >>> averaged([{"cnn": [None, 0.5]}, {"cnn": [0.5, 1.0], "fc": [0.5, 0.5]}])
    {'cnn': [None, 0.75]}
    """
    first, *others = tables
    common = [family for family in first if all(family in table for table in others)]
    columns = {family: zip(*(table[family] for table in tables), strict=True) for family in common}
    return {family: [_mean(column) for column in rows] for family, rows in columns.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


@click.command()
@click.argument("paths", metavar="FRONTIER_JSON...", nargs=-1, required=True, type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@one_line_errors()
def main(paths: tuple[Path, ...], as_json: bool) -> None:
    """Test accuracy by family and budget, mean over the tasks of files that `hardattn frontier` wrote.

    \b
    Example:
      python -m benchmarks.frontiers runs/celebahq-Male/frontier/frontier.json
    """
    found = [Frontier.read(path) for path in paths]
    table = averaged([at_budgets(frontiers(task.points)) for task in found])
    share = max(pixel_share(task) for task in found)
    if as_json:
        facts = {"mflops": BUDGETS, "accuracy": table, "behind": behind(table), "pixel_share": share}
        click.echo(json.dumps({"tasks": [f"{task.dataset} {task.target}" for task in found], **facts}))
        return
    click.echo(f"mean of {', '.join(f'{task.dataset} {task.target}' for task in found)}; test accuracy, %")
    click.echo(f"{as_table(table)}\n{verdict(table, share)}")


if __name__ == "__main__":
    main()
