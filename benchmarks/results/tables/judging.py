"""Tables of `benchmarks.judging`, in Markdown: sources of sequences under one judge, and `finite`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.results.tables.parts import Rows, by, source, table

FINITE = "finite"


def judging_table(found: Mapping[str, Any]) -> str:
    """A table of each target with accuracy and NLL, and one of what designs predict; or that of `finite`.

    Args:
        found: "rows" of the command, and perhaps "about", where they come from.
    """
    rows = found["rows"]
    parts = [_finite(rows)] if rows[0]["task"] == FINITE else _judged(rows)
    return "\n\n".join([*parts, *([source(found["about"])] if "about" in found else [])])


def _judged(rows: Rows) -> list[str]:
    parts = []
    for target, its in by(rows, "target").items():
        steps = range(1, len(its[0]["accuracy"]) + 1)
        sources = by(its, "source")
        seeds = seeds_in_words(its)
        head = ["source", *(f"t = {t}" for t in steps), "ahead of the fixed order"]
        lines = [[name, *cells(own[0]), ahead(own[0])] for name, own in sources.items()]
        images = f"{its[0]['images']} images of {its[0]['task']}, {target}, {seeds}"
        parts.append(f"{images}: accuracy in % with 95 % intervals, and NLL in nats.\n\n{table(head, lines)}")
        designs = {name: own for name, own in sources.items() if own[0]["predicted"]}
        head = ["predicted / realised, nats", *(f"t = {t}" for t in steps), "weights of own maps"]
        lines = [[name, *truth(own), weights(own)] for name, own in designs.items()]
        parts.append(table(head, lines))
    return parts


def cells(row: Mapping[str, Any]) -> list[str]:
    """Accuracy in % with its interval, and NLL, after each glimpse, over all seeds.

    >>> nll = {f"nll_{end}": [0.7] for end in ("over_seeds", "low", "high")}
    >>> cells({"accuracy_over_seeds": [0.5], "accuracy_low": [0.4], "accuracy_high": [0.6], **nll})
    ['50.0 (40.0, 60.0) .700']
    """
    names = ("accuracy_over_seeds", "accuracy_low", "accuracy_high", "nll_over_seeds")
    return [
        f"{100 * value:.1f} ({100 * low:.1f}, {100 * high:.1f}) {short(nll)}"
        for value, low, high, nll in zip(*(row[name] for name in names), strict=True)
    ]


def ahead(row: Mapping[str, Any]) -> str:
    """Points and nats by which a source is ahead of the fixed order, mean over the glimpses."""
    points = [100 * row[f"ahead_accuracy_{end}"] for end in ("over_seeds", "low", "high")]
    nats = [row[f"ahead_nll_{end}"] for end in ("over_seeds", "low", "high")]
    if not any((*points, *nats)):
        return ""
    ends = f"({points[1]:+.1f}, {points[2]:+.1f})", f"({short(nats[1], '+')}, {short(nats[2], '+')})"
    return f"{points[0]:+.1f} {ends[0]} points, {short(nats[0], '+')} {ends[1]} nats"


def truth(seeds: Rows) -> list[str]:
    """What each seed predicts of each glimpse, and what is realised.

    >>> truth([{"predicted": [0.5], "realised": [0.75]}, {"predicted": [1.0], "realised": [1.25]}])
    ['.500 1.000 / .750 1.250']
    """
    lists = [[row[kind] for row in seeds] for kind in ("predicted", "realised")]
    each = [[" ".join(short(value) for value in step) for step in zip(*one, strict=True)] for one in lists]
    return [" / ".join(both) for both in zip(*each, strict=True)]


def weights(seeds: Rows) -> str:
    """Of own maps at each glimpse, of each seed."""
    return "; ".join(" ".join(f"{value:g}" for value in row["weights"]) for row in seeds)


def short(value: float, sign: str = "") -> str:
    """A number of nats without the zero before its point.

    >>> short(0.5), short(-0.25, "+"), short(1.0)
    ('.500', '-.250', '1.000')
    """
    return f"{value:{sign}.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:{sign}.3f}"


def seeds_in_words(rows: Rows) -> str:
    """How many seeds rows are of.

    >>> seeds_in_words([{"seed": 0}]), seeds_in_words([{"seed": 0}, {"seed": 1}])
    ('one seed', '2 seeds')
    """
    count = len({row["seed"] for row in rows})
    return "one seed" if count == 1 else f"{count} seeds"


def _finite(rows: Rows) -> str:
    head = ["posterior, completion, estimator, score", "seeds", "images", "iterations"]
    steps = [f"t = {t}" for t in range(1, len(rows[0]["closed"]) + 1)]
    lines = [
        [f"{name} (default)" if own[0]["default"] else name, *_sizes(own), *_shares(own)]
        for name, own in by(rows, "method").items()
    ]
    said = (
        "Share of the gap between random and exact greedy design that is closed on templates never seen, %, "
    )
    return f"{said}with 95 % intervals over images and seeds.\n\n{table([*head, *steps], lines)}"


def _sizes(seeds: Rows) -> list[str]:
    images, iterations = ([row[name] for row in seeds] for name in ("images", "iterations"))
    return [str(len(seeds)), in_range(images), in_range(iterations)]


def in_range(numbers: Sequence[int]) -> str:
    """The least and the most of some numbers.

    >>> in_range([3, 3]), in_range([2000, 10])
    ('3', '10 to 2,000')
    """
    ends = dict.fromkeys((min(numbers), max(numbers)))
    return " to ".join(f"{number:,}" for number in ends)


def _shares(seeds: Rows) -> list[str]:
    names = ("closed_over_seeds", "closed_low", "closed_high")
    steps = zip(*(seeds[0][name] for name in names), strict=True)
    return [f"{100 * value:.0f} ({100 * low:.0f}, {100 * high:.0f})" for value, low, high in steps]
