"""The picture of accuracy against compute, of a file of results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draws what `benchmarks.frontiers` printed."""
    title = f"mean of {len(found['tasks'])} tasks" if len(found["tasks"]) > 1 else found["tasks"][0]
    draw_lines(lines_of(found), title, path)
