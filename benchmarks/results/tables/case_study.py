"""The tables of the case study on MNIST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.results.tables.parts import Rows, by, published, source, table


def case_study(found: Mapping[str, Any]) -> str:
    """Test error of each geometry by each way of training; and of what has no ways."""
    named = [{**row, "geometry": row["method"].removeprefix(f"{row['way']}, ")} for row in found["rows"]]
    ways = list(dict.fromkeys(row["way"] for row in named if row["way"]))
    lines = [
        [name, published(rows[0]), *(_of_way(rows, way) for way in ways)]
        for name, rows in by([row for row in named if row["way"]], "geometry").items()
    ]
    others = [
        [name, published(rows[0]), _of_way(rows, "")]
        for name, rows in by([row for row in named if not row["way"]], "geometry").items()
    ]
    tables = [table(["glimpses", "published", *ways], lines), table(["beside", "published", "here"], others)]
    return "\n\n".join([*tables, source(found["about"])])


def _of_way(rows: Rows, way: str) -> str:
    """Test errors in %, with the epoch of the best validation accuracy and the iterations."""
    return "; ".join(
        f"{row['error_percent']:.2f} (epoch {row['best_epoch']:.1f}, {row['iterations']:,} iterations)"
        for row in rows
        if row["way"] == way
    )
