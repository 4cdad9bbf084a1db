"""The tables of `benchmarks.convergence`: errors beside the published ones, and who converges when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.results.tables.parts import by, source, table

Rows = Sequence[Mapping[str, Any]]
MEAN = "mean"
SUPERVISED, ALONE = "PS-NOGS", "REINFORCE"


def convergence(found: Mapping[str, Any]) -> str:
    """Both tables of a file of results."""
    return f"{by_methods(found['rows'])}\n\n{source(found['about'])}"


def errors(found: Mapping[str, Any]) -> str:
    """The errors alone."""
    return f"{_errors(found['rows'])}\n\n{source(found['about'])}"


def search(found: Mapping[str, Any]) -> str:
    """The search of a file of results."""
    return f"{by_settings(found['rows'])}\n\n{source(found['about'])}"


def by_methods(rows: Rows) -> str:
    """Errors by attribute and method, then convergence of REINFORCE beside partial supervision."""
    return "\n\n".join([_errors(rows), *_convergence(rows)])


def by_settings(rows: Rows) -> str:
    """Of each setting of a search, in their order: best validation NLL by attribute, and the mean of all.

    >>> print(by_settings([{"setting": "a", "attribute": "Male", "best_nll": 0.25, "iterations": 100}]))
    | setting | Male | mean | iterations |
    | --- | --- | --- | --- |
    | a | .250 | .250 | 100 |
    """
    attributes = list(by(rows, "attribute"))
    lines = []
    for name, of_one in by(rows, "setting").items():
        known = {row["attribute"]: _nats(row["best_nll"]) for row in of_one}
        mean = _nats(mean_nll(of_one)) if len(of_one) == len(attributes) else ""
        lines.append([name, *(known.get(a, "") for a in attributes), mean, f"{of_one[0]['iterations']:,}"])
    return table(["setting", *attributes, "mean", "iterations"], lines)


def mean_nll(rows: Rows) -> float:
    """Of the best NLLs of a setting."""
    return fmean(row["best_nll"] for row in rows)


def _errors(rows: Rows) -> str:
    """Test error in %, mean over seeds with its interval; the published one before it, where one is known."""
    methods = list(by(rows, "method"))
    lines = [
        [attribute, *(_error([row for row in of_one if row["method"] == method]) for method in methods)]
        for attribute, of_one in by(rows, "attribute").items()
    ]
    return table(["test error, %", *methods], lines)


def _error(rows: Rows) -> str:
    if not rows:
        return ""
    figure = rows[0].get("published_error_percent")
    known = "" if figure is None else f"published {figure:.1f}, here "
    interval = f"({rows[0]['low']:.1f}, {rows[0]['high']:.1f})"
    seeds = rows[0].get("seeds", len(rows))
    one = ", one seed" if seeds == 1 else ""
    return f"{known}{fmean(row['error_percent'] for row in rows):.1f} {interval}{one}"


def _convergence(rows: Rows) -> list[str]:
    """When both converged, and how many times sooner; nothing where one of them is missing."""
    kinds = by(rows, "method")
    if SUPERVISED not in kinds or ALONE not in kinds:
        return []
    told, alone = (by(kinds[name], "attribute") for name in (SUPERVISED, ALONE))
    lines = [
        [
            attribute,
            *(_each(told[attribute], name) for name in ("converged_at", "best_nll")),
            *(_each(alone[attribute], name) for name in ("converged_at", "best_nll", "as_good_at")),
            *(_each(alone[attribute], name) for name in ("sooner", "sooner_as_good")),
        ]
        for attribute in told
        if attribute in alone and attribute != MEAN
    ]
    many = {name: f"batches of {kinds[name][0]['batch_size']}" for name in (SUPERVISED, ALONE)}
    head = [
        *("iterations", f"{SUPERVISED}, {many[SUPERVISED]}, converged", "best NLL"),
        *(f"{ALONE}, {many[ALONE]}, converged", "best NLL", f"as good as {SUPERVISED}"),
        *("times sooner, each to its own best", "times sooner, to that quality"),
    ]
    means = [
        ["geometric mean", "", "", "", "", "", _ratio(row, "sooner"), _mean_as_good(row)]
        for row in alone.get(MEAN, [])
        if row["sooner"] is not None
    ]
    return [table(head, lines + means)]


def _mean_as_good(row: Mapping[str, Any]) -> str:
    """A lower bound where some training never got there.

    >>> _mean_as_good({"sooner_as_good": 2.0, "sooner_as_good_images": 1.0, "least_as_good": True})
    'at least 2.0 (1.0)'
    """
    return ("at least " if row.get("least_as_good") else "") + _ratio(row, "sooner_as_good")


def _each(rows: Rows, name: str) -> str:
    """A figure of every seed."""
    return ", ".join(_figure(row, name) for row in rows)


def _figure(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if value is None:
        return "never"
    if name == "best_nll":
        return _nats(value)
    if name.startswith("sooner"):
        bound = "at least " if name == "sooner_as_good" and row["as_good_at"] is None else ""
        return bound + _ratio(row, name)
    return f"{value:,}"


def _ratio(row: Mapping[str, Any], name: str) -> str:
    """In iterations, and in images."""
    return f"{row[name]:.1f} ({row[f'{name}_images']:.1f})"


def _nats(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
