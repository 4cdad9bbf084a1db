"""Tables of the documentation, in Markdown, of files of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def seeds_of(values: Sequence[float], digits: int = 2) -> str:
    """Their mean, and each where there are several.

    >>> seeds_of([1.0]), seeds_of([1.0, 3.0], 1)
    ('1.00 (one seed)', '2.0 (1.0, 3.0)')
    """
    each = ", ".join(f"{value:.{digits}f}" for value in values)
    return f"{fmean(values):.{digits}f} ({'one seed' if len(values) == 1 else each})"


def source(about: Mapping[str, Any]) -> str:
    """Where the figures of a table come from, as a line below it."""
    seeds, hours = ", ".join(map(str, about["seeds"])), about["seconds"] / 3600
    return (
        f"`{about['command']} --data-root DIR`, seeds {seeds}, {about['date']}, "
        f"commit {about['commit'][:7]}, {about['machine']}, {hours:.1f} hours of training."
    )


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown.

    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


def by(rows: Rows, key: str) -> dict[str, list[Mapping[str, Any]]]:
    """Rows in groups of the same value, in their order."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups


def published(row: Mapping[str, Any]) -> str:
    """Its figure, where it is known."""
    figure = row["published_error_percent"]
    return "" if figure is None else f"{figure:.2f}"


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


TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "recurrent-glimpsenet": recurrent_glimpsenet,
    "case-study": case_study,
}
