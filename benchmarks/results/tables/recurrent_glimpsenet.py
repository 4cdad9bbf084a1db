"""The table of Recurrent GlimpseNet's variants."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from benchmarks.results.tables.parts import Rows, by, published, seeds_of, source, table


def recurrent_glimpsenet(found: Mapping[str, Any]) -> str:
    """Error, compute and what the crops hold, of each variant."""
    head = ["row", "test error, %", "published", "iterations", "MFLOPs", "of the digit inside crops, %"]
    lines = [
        [
            name,
            seeds_of([row["error_percent"] for row in rows]),
            published(rows[0]),
            ", ".join(f"{row['iterations']:,}" for row in rows),
            f"{rows[0]['mflops']:.1f}",
            _inside(rows),
        ]
        for name, rows in by(found["rows"], "method").items()
    ]
    return f"{table(head, lines)}\n\n{source(found['about'])}"


def _inside(rows: Rows) -> str:
    """At each glimpse but the first, mean over seeds; then that of random and of central crops as wide."""
    steps = [[step for step in row["coverage"] or () if step["step"] > 1] for row in rows]
    if not all(steps):
        return ""
    shares = [100 * fmean(step["share"] for step in each) for each in zip(*steps, strict=True)]
    last = [each[-1] for each in steps]
    random, central = (100 * fmean(step[kind] for step in last) for kind in ("random", "central"))
    return f"{' '.join(f'{share:.0f}' for share in shares)} ({random:.0f}, {central:.0f})"
