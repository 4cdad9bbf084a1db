"""The picture of accuracy against compute from a file of results.

python -m benchmarks.frontier_picture docs/results/frontier.json docs/frontier.png
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from data.cli.options import PATH
from hardattn.experiments.frontier.drawing import Line, draw_lines
from hardattn.experiments.frontier.names import ANY
from hardattn.experiments.frontier.pareto import COUNTS


def lines_of(found: Mapping[str, Any]) -> dict[str, dict[str, Line]]:
    """Count -> family -> accuracy in % at each budget; several families together are not drawn."""
    lines: dict[str, dict[str, list[tuple[float, float]]]] = {count: {} for count in COUNTS}
    for row in found["rows"]:
        if not row["family"].startswith(ANY):
            own = lines[row["count"]].setdefault(row["family"], [])
            own.append((row["budget"], 100 * row["accuracy"]))
    return {count: dict(own) for count, own in lines.items()}


@click.command()
@click.argument("results", type=PATH)
@click.argument("picture", type=PATH)
def main(results: Path, picture: Path) -> None:
    """Draws the rows of RESULTS, that `benchmarks.frontiers --json` printed, into PICTURE."""
    found = json.loads(results.read_text())
    title = f"mean of {len(found['tasks'])} tasks" if len(found["tasks"]) > 1 else found["tasks"][0]
    draw_lines(lines_of(found), title, picture)


if __name__ == "__main__":
    main()
