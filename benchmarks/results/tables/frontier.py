"""Tables of accuracy against compute, in Markdown, of a file of results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.results.tables.parts import Rows, by, source, table

COUNTED = {"binning": "A sensor that bins pixels", "software": "Averages added up in software"}


def frontier(found: Mapping[str, Any]) -> str:
    """Accuracy of each family at each budget with its interval, by either count, and who is ahead."""
    parts = [_count(count, rows, found) for count, rows in by(found["rows"], "count").items()]
    verdict = found["verdict"][:1].upper() + found["verdict"][1:]  # MFLOPs stay as they are
    return "\n\n".join([*parts, f"{verdict}.", source(found["about"])])


def _count(count: str, rows: Rows, found: Mapping[str, Any]) -> str:
    budgets = sorted({row["budget"] for row in rows})
    lines = [[name, *(_cell(own, at) for at in budgets)] for name, own in by(rows, "family").items()]
    lines += [_difference(rows, budgets)]
    head = [f"{COUNTED[count]}, MFLOPs up to", *(f"{budget:g}" for budget in budgets)]
    changes = found["crossings"][count]
    ahead = "; ".join(f"{name} from {budget:.3g} MFLOPs on" for budget, name in changes)
    return f"{table(head, lines)}\n\nAhead: {ahead}."


def _cell(rows: Rows, budget: float) -> str:
    """Accuracy in %, with its interval."""
    return next((_ends(row, "accuracy", "low", "high") for row in rows if row["budget"] == budget), "")


def _difference(rows: Rows, budgets: list[float]) -> list[str]:
    """What is compared, minus the best rival at each budget."""
    compared = {row["budget"]: row for row in rows if "difference" in row}
    name = next((row["family"] for row in compared.values()), "attention")
    names = [f"difference{end}" for end in ("", "_low", "_high")]
    cells = [
        f"{_ends(compared[at], *names)}: {compared[at]['rival']}" if at in compared else "" for at in budgets
    ]
    return [f"{name}, minus the best rival", *cells]


def _ends(row: Mapping[str, Any], *names: str) -> str:
    value, low, high = (100 * row[name] for name in names)
    return f"{value:.1f} ({low:.1f}, {high:.1f})"
