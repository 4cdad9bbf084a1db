"""What tables of results are made of: Markdown, groups of rows, seeds, and where figures come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.results.experiments import THEN

Rows = Sequence[Mapping[str, Any]]


def seeds_of(values: Sequence[float], digits: int = 2) -> str:
    """Their mean, and each where there are several.

    >>> seeds_of([1.0]), seeds_of([1.0, 3.0], 1)
    ('1.00 (one seed)', '2.0 (1.0, 3.0)')
    """
    each = ", ".join(f"{value:.{digits}f}" for value in values)
    return f"{fmean(values):.{digits}f} ({'one seed' if len(values) == 1 else each})"


def source(about: Mapping[str, Any]) -> str:
    """Where figures come from, as lines below their table, and why newer code makes no others."""
    seeds = about["seeds"]
    which = f"seeds {', '.join(map(str, seeds))}, " if len(seeds) > 1 else ""
    one = "**One seed.** " if len(seeds) == 1 else ""
    lines = [
        f"{one}{_commands(about['command'])}, {which}{about['date']}, commit {about['commit'][:7]}, "
        f"{about['machine']}, {about['seconds'] / 3600:.1f} hours."
    ]
    lines += [
        f"Older than {', '.join(kept['modules'])}: {kept['because']}." for kept in about.get("kept", ())
    ]
    return "\n".join(lines)


def _commands(told: str) -> str:
    """Each as code.

    >>> _commands("boed fit && boed generate")
    '`boed fit`, then `boed generate`'
    """
    return ", then ".join(f"`{command}`" for command in told.split(THEN))


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
