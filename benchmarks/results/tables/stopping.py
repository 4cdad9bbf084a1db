"""The tables of stopping rules, in Markdown, of the rows of `benchmarks.stopping`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.results.tables.parts import Rows, by, source, table

NAMES = {
    "gain": "predicted gain",
    "accuracy-gain": "predicted gain of accuracy",
    "calibrated": "predicted gain of accuracy, calibrated",
    "act": "ACT, a detached head",
    "halting": "ACT, trained end to end",
}
SAME = 0.02  # of a cost


def stopping(found: Mapping[str, Any]) -> str:
    """Accuracy at equal mean cost, how far above fixed, and how few glimpses are enough; where from."""
    return f"{tables(found['rows'])}\n\n{source(found['about'])}"


def tables(rows: Rows) -> str:
    """All that has rows, with a line that says what the figures are means of."""
    kinds = by(rows, "kind")
    units = by(kinds["equal cost"], "unit")
    parts = [_networks(kinds["network"]), *(_equal_cost(each) for each in units.values())]
    parts.append(_above_fixed(units["glimpses"]))
    parts += [_enough(each, name) for name, each in by(kinds.get("enough", []), "thresholds").items()]
    return "\n\n".join(parts)


def _networks(rows: Rows) -> str:
    """How many there are of each kind, and what is measured."""
    kinds = by([{**row, "name": row["method"].removesuffix(f" {row['attribute']}")} for row in rows], "name")
    parts = [
        f"{name}: {len(each)} networks of {len(by(each, 'attribute'))} attributes and "
        f"{len(by(each, 'seed'))} seeds, {_range([row['iterations'] for row in each])} iterations"
        for name, each in kinds.items()
    ]
    figures = "Test accuracy in %, mean over attributes and seeds, with 95 % intervals over images and seeds"
    return f"{'; '.join(parts)}. {figures}; thresholds of validation images."


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _equal_cost(rows: Rows) -> str:
    """A line for each rule, a column for each mean cost; what test images cost where it differs by 2 %."""
    places = by(rows, "of_glimpses")
    unit = rows[0]["unit"]
    head = [f"at mean {unit} of", *(_cost(unit, each[0]) for each in places.values())]
    return table(head, [[_named(rule), *_cells(each, _accuracy)] for rule, each in by(rows, "rule").items()])


def _above_fixed(rows: Rows) -> str:
    """The same images and costs, in points of accuracy."""
    head = ["above fixed, points, at mean glimpses of", *(f"{few:g}" for few in by(rows, "of_glimpses"))]
    others = [row for row in rows if row["rule"] != "fixed"]
    return table(head, [[_named(rule), *_cells(each, _above)] for rule, each in by(others, "rule").items()])


def _cost(unit: str, row: Mapping[str, Any]) -> str:
    few = f"{row['of_glimpses']:g}"
    return few if unit == "glimpses" else f"{row['cost']:.3f} ({few} glimpses)"


def _cells(rows: Rows, cell: Any) -> list[str]:
    """One for each mean cost, whichever the seed: what it says is over all of them."""
    return [cell(each[0]) for each in by(rows, "of_glimpses").values()]


def _accuracy(row: Mapping[str, Any]) -> str:
    if row["mean_accuracy"] is None:
        return "-"
    value, low, high = (100 * row[key] for key in ("mean_accuracy", "accuracy_low", "accuracy_high"))
    spent = "" if abs(row["mean_spent"] / row["cost"] - 1) < SAME else f" at {row['mean_spent']:.3g}"
    return f"{value:.1f} ({low:.1f}, {high:.1f}){spent}"


def _above(row: Mapping[str, Any]) -> str:
    if row["mean_above_fixed"] is None:
        return "-"
    return _points(row, "above_fixed")


def _points(row: Mapping[str, Any], name: str) -> str:
    value, low, high = (100 * row[key] for key in (f"mean_{name}", f"{name}_low", f"{name}_high"))
    return f"{value:+.2f} ({low:+.2f}, {high:+.2f})"


def _enough(rows: Rows, thresholds: str) -> str:
    """The fewest glimpses that validation images find as good as all T."""
    head = [f"as good as all glimpses, {thresholds}", "threshold", "glimpses, validation", "glimpses, test"]
    lines = [
        [
            _named(rule),
            "" if row["threshold"] is None else f"{row['threshold']:.3g}",
            f"{row['valid_glimpses']:.2f}",
            f"{row['mean_glimpses']:.2f}",
            f"{100 * row['mean_accuracy']:.1f}",
            _points(row, "below"),
        ]
        for rule, (row, *_) in by(rows, "rule").items()
    ]
    return table([*head, "accuracy", "below all"], lines)


def _named(rule: str) -> str:
    return NAMES.get(rule, rule)
