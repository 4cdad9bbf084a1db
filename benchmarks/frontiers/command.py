"""Frontiers of several tasks, averaged: whether hard attention is ahead of its rivals on the mean.

python -m benchmarks.frontiers runs/celebahq-*/frontier/frontier.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.frontiers.rows import Row, Task, rows
from data.cli.commands import one_line_errors
from data.cli.options import PATH
from data.errors import SettingsError
from hardattn.experiments.frontier.names import looks
from hardattn.experiments.frontier.pareto import COUNTS
from hardattn.experiments.frontier.summary import (
    BUDGETS,
    COUNTED,
    GOAL,
    as_table,
    behind,
    crossings,
    leaders,
    pixel_share,
    verdict,
)

Table = dict[str, list[float | None]]


def tables_of(found: Sequence[Row]) -> dict[str, Table]:
    """Count -> family -> accuracy at each budget, None where there is none."""
    tables: dict[str, Table] = {count: {} for count in COUNTS}
    for row in found:
        line = tables[row["count"]].setdefault(row["family"], [None] * len(BUDGETS))
        line[BUDGETS.index(row["budget"])] = row["accuracy"]
    return tables


def measured(tasks: Sequence[Task], most: float) -> dict[str, Any]:
    """All figures; lines cross where the mean over tasks and seeds has another leader.

    Raises:
        SettingsError: tasks with trainings of other seeds.
    """
    _require_same_seeds(tasks)
    found, every = rows(tasks), [task.found.points for task in tasks]
    tables = tables_of(found)
    share = max(pixel_share(task.found) for task in tasks)
    return {
        "tasks": [task.name for task in tasks],
        "rows": found,
        "crossings": {count: leaders(every, count) for count in COUNTS},
        "behind": {count: behind(table, most) for count, table in tables.items()},
        "pixel_share": share,
        "verdict": f"{verdict(tables, share, most)}; {apart(found, most)}",
    }


def _require_same_seeds(tasks: Sequence[Task]) -> None:
    """A figure of several tasks says of which seeds it is; raises SettingsError where that differs."""
    first, *others = tasks
    for task in others:
        if sorted(task.found.seeds) != sorted(first.found.seeds):
            raise SettingsError(
                f"expected the seeds of {first.name}, {list(first.found.seeds)}, for all tasks, found "
                f"{list(task.found.seeds)} for {task.name}; run `hardattn frontier` with the same --seeds"
            )


def apart(found: Sequence[Row], most: float) -> str:
    """At how many budgets the interval of the difference to the best rival is above 0.

    Of all up to `most` MFLOPs for which there is a rival, also where nothing that looks is so cheap.
    """
    parts = list[str]()
    for count in COUNTS:
        here = [row for row in found if row["count"] == count and row["budget"] <= most]
        met = {row["budget"] for row in here if not looks(row["family"])}
        above = [row for row in here if row.get("difference_low", 0.0) > 0]
        parts.append(f"{len(above)} of {len(met)} by {count}")
    return f"intervals apart from the best rival's at {', '.join(parts)}"


@click.command()
@click.argument("paths", metavar="FRONTIER_JSON...", nargs=-1, required=True, type=PATH)
@click.option("--up-to", "most", default=GOAL, show_default=True, help="MFLOPs, of the verdict.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@one_line_errors()
def main(paths: tuple[Path, ...], most: float, as_json: bool) -> None:
    """Test accuracy by family and budget, mean over the tasks of files that `hardattn frontier` wrote.

    \b
    Example:
      python -m benchmarks.frontiers runs/celebahq-Male/frontier/frontier.json
    """
    found = measured([Task.read(path) for path in paths], most)
    click.echo(json.dumps(found) if as_json else as_text(found))


def as_text(found: Mapping[str, Any]) -> str:
    """For people."""
    seeds = ", ".join(map(str, found["rows"][0]["seeds"]))
    lines = [f"mean of {', '.join(found['tasks'])}; seeds {seeds}; test accuracy, %"]
    for count, table in tables_of(found["rows"]).items():
        lines += ["", f"{COUNTED[count]}: {crossings(found['crossings'][count])}", as_table(table)]
        lines += [difference(row) for row in found["rows"] if row["count"] == count and "difference" in row]
    return "\n".join([*lines, found["verdict"]])


def difference(row: Row) -> str:
    """How far what is compared is above the best rival, or below it.

    >>> row = {"family": "attention", "rival": "cnn", "budget": 0.1, "difference": 0.02}
    >>> difference(row | {"difference_low": 0.01, "difference_high": 0.03})
    'up to 0.1 MFLOPs: attention +2.0 (+1.0, +3.0) points from cnn'
    """
    value, low, high = (100 * row[f"difference{end}"] for end in ("", "_low", "_high"))
    ends = f"{value:+.1f} ({low:+.1f}, {high:+.1f}) points"
    return f"up to {row['budget']:g} MFLOPs: {row['family']} {ends} from {row['rival']}"
