"""The table of what the demo ends with."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

from benchmarks.results.tables.parts import Rows, by, source, table


def demo(found: Mapping[str, Any]) -> str:
    """Accuracy after the first and the last glimpse, mean and standard deviation over seeds; iterations."""
    head = ["training", "after one glimpse, %", "after all, %", "iterations to convergence"]
    lines = [
        [name, _percent(rows, 0), _percent(rows, -1), f"{fmean(row['iterations'] for row in rows):.0f}"]
        for name, rows in by(found["rows"], "method").items()
    ]
    return f"{table(head, lines)}\n\n{source(found['about'])}"


def _percent(rows: Rows, glimpse: int) -> str:
    values = [100 * row["accuracy_at"][glimpse] for row in rows]
    return f"{fmean(values):.1f} ± {stdev(values):.1f}"
